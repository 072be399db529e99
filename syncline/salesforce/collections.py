"""Rows in bulk: 200 records a call to write, 2,000 to read.

"sObject Collections" in the REST API Developer Guide. Rows succeed or fail on their own (allOrNone is false); results
come in the order of the rows. Names of objects and fields are checked, since they become part of an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.contracts.errors import Fatal, Malformed, RecordRejected, Transient
from syncline.salesforce.pages import Record
from syncline.salesforce.protocol import Method, Request, encode, refusal
from syncline.salesforce.soql import Name

WRITE_ROWS = 200
READ_ROWS = 2_000

Row = Mapping[str, Any]
"""Field to value; None clears the field, an absent one keeps its value."""


@dataclass(frozen=True, slots=True)
class Saved:
    """created: False as well when a repeated upsert finds what its first try, whose answer was lost, has created.
    before: of an exchange, what the record held; None when it could not be seen."""

    id: str
    created: bool = False
    before: Record | None = None


Outcome = Saved | RecordRejected | Transient
"""Of one row. Transient asks for this row again; OutcomeUnknown, a Transient, says that it may have been written."""


_JSON = {"Content-Type": "application/json"}
_WRITING = {**_JSON, "Sforce-Auto-Assign": "FALSE"}
"""Without it Salesforce's assignment rules would give accounts and leads that we write to other owners."""


def create_request(name: str, rows: Sequence[Row]) -> Request:
    return _rows("POST", "/composite/sobjects", name, rows)


def update_request(name: str, rows: Sequence[Row]) -> Request:
    """Each row holds its `Id`."""
    return _rows("PATCH", "/composite/sobjects", name, [_identified(row) for row in rows])


def exchange_requests(name: str, rows: Sequence[Row], fields: Iterable[str]) -> tuple[Request, Request]:
    """To look at the records of an update, and to update them."""
    query = {"ids": ",".join(str(row["Id"]) for row in rows), "fields": ",".join(str(Name(field)) for field in fields)}
    return Request("GET", f"/composite/sobjects/{Name(name)}", "read", query=query), update_request(name, rows)


def upsert_request(name: str, key: str, rows: Sequence[Row]) -> Request:
    """key: the external-ID field, which each row holds and no other row of the call repeats."""
    return _rows("PATCH", f"/composite/sobjects/{Name(name)}/{Name(key)}", name, rows)


def delete_request(ids: Sequence[str]) -> Request:
    query = {"ids": ",".join(ids), "allOrNone": "false"}
    return Request("DELETE", "/composite/sobjects", "write", query=query)


def retrieve_request(name: str, ids: Sequence[str], fields: Iterable[str]) -> Request:
    """By POST, since 2,000 ids do not fit into an address."""
    body = encode({"ids": list(ids), "fields": [str(Name(field)) for field in fields]})
    return Request("POST", f"/composite/sobjects/{Name(name)}", "read", headers=_JSON, body=body)


def read_saved(request: Request, content: Any, rows: int) -> list[Outcome]:
    """Of create, update and upsert. Raises Fatal when the reply holds another number of rows."""
    new = request.method == "POST"
    return [
        Saved(row["id"], row.get("created", new)) if row["success"] else _refused(request, row)
        for row in _results(request, content, rows)
    ]


def read_deleted(request: Request, content: Any, ids: Sequence[str]) -> list[Outcome]:
    """One that is in the recycle bin already counts as deleted, so that a repeated delete ends like its first try."""
    outcomes: list[Outcome] = []
    for id_, row in zip(ids, _results(request, content, len(ids)), strict=True):
        outcome = Saved(row["id"]) if row["success"] else _refused(request, row)
        gone = isinstance(outcome, RecordRejected) and outcome.code == "ENTITY_IS_DELETED"
        outcomes.append(Saved(id_) if gone else outcome)
    return outcomes


def read_retrieved(request: Request, content: Any, rows: int) -> list[Record | None]:
    """None for an id that is gone or invisible."""
    return _as_many(request, content, rows)


def _identified(row: Row) -> Row:
    if not row.get("Id"):
        raise Malformed("a row to update has no Id", fields=("Id",))
    return {"id" if field == "Id" else field: value for field, value in row.items()}


def _rows(method: Method, path: str, name: str, rows: Sequence[Row]) -> Request:
    kind = {"attributes": {"type": str(Name(name))}}
    body = encode({"allOrNone": False, "records": [{**row, **kind} for row in rows]})
    return Request(method, path, "write", headers=_WRITING, body=body)


def _refused(request: Request, row: Mapping[str, Any]) -> RecordRejected | Transient:
    error = refusal(request, row.get("errors") or ())
    assert isinstance(error, RecordRejected | Transient)  # narrows the type: a row's refusal is nothing else
    return error


def _results(request: Request, content: Any, rows: int) -> list[dict[str, Any]]:
    results = _as_many(request, content, rows)
    if not all(isinstance(row, dict) and (row.get("success") is False or row.get("id")) for row in results):
        raise _unreadable(request, rows)
    return results


def _as_many(request: Request, content: Any, rows: int) -> list[Any]:
    if not isinstance(content, list) or len(content) != rows:
        raise _unreadable(request, rows)
    return content


def _unreadable(request: Request, rows: int) -> Fatal:
    return Fatal(f"{request}: Salesforce did not answer for each of {rows} rows; was the reply altered on the way?")
