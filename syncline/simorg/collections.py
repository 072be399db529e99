"""sObject Collections: up to 200 rows in one request, each with its own outcome, or all of them or none.

Rules: "sObject Collections" in the REST API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from syncline.simorg import errors
from syncline.simorg.dml import Change, Dml, Saved
from syncline.simorg.drafts import Draft, key_field, read_draft, sobject_named
from syncline.simorg.errors import SalesforceError
from syncline.simorg.ids import canonical
from syncline.simorg.metadata import Field, Schema, SObject
from syncline.simorg.records import read_record, selection
from syncline.simorg.store import Store
from syncline.simorg.values import Value, check, decode

MAX_ROWS = 200
MAX_CHUNKS = 10
MAX_RETRIEVED = 2_000

Result = dict[str, Any]
Work = Callable[[], list[Saved]]
"""Writes one row; what it saved, the row's own record first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reply's rows, in the order of the request's, and what was written and stays."""

    results: list[Result]
    saved: list[Saved]


class Collections:
    """Each method answers one call."""

    def __init__(self, schema: Schema, store: Store, dml: Dml) -> None:
        self._schema = schema
        self._store = store
        self._dml = dml

    def create(self, body: object, change: Change) -> Outcome:
        drafts = [self._typed_draft(record, without="Id") for record in self._records(body)]
        return self._run([(None, partial(self._create, draft, change)) for draft in drafts], _all_or_none(body))

    def update(self, body: object, change: Change) -> Outcome:
        rows: list[tuple[str | None, Work]] = []
        for record in self._records(body):
            id_text, rest = _without_id(record)
            rows.append((id_text, partial(self._update, id_text, self._typed_draft(rest), change)))
        return self._run(rows, _all_or_none(body))

    def upsert(self, object_name: str, key_name: str, body: object, change: Change) -> Outcome:
        """All rows are of one object, and each holds its own key."""
        sobject = sobject_named(self._schema, object_name)
        key = key_field(sobject, key_name)
        seen: set[Value] = set()
        rows: list[tuple[str | None, Work]] = []
        for record in self._records(body):
            if self._type(record) is not sobject:
                raise errors.unreadable_body(f"All records must be of the type {sobject.name}")
            given = next((value for name, value in record.items() if name.lower() == key.name.lower()), None)
            rest = {name: value for name, value in record.items() if name.lower() != key.name.lower()}
            value = None if given is None else decode(key, given)
            draft = read_draft(self._schema, sobject, rest, without="Id")
            rows.append((None, partial(self._upsert, key, value, draft, change, seen)))
        return self._run(rows, _all_or_none(body), upsert=True)

    def delete(self, ids: Sequence[str], all_or_none: bool, change: Change) -> Outcome:
        if len(ids) > MAX_ROWS:
            raise errors.too_many_records(MAX_ROWS)
        return self._run([(id_text, partial(self._delete, id_text, change)) for id_text in ids], all_or_none)

    def retrieve(self, object_name: str, ids: Sequence[str], fields: Sequence[str], base: str) -> list[Result | None]:
        """None for an id that is malformed, unknown, deleted or of another object."""
        if len(ids) > MAX_RETRIEVED:
            raise errors.too_many_records(MAX_RETRIEVED)
        sobject = sobject_named(self._schema, object_name)
        chosen = selection(sobject, fields)
        table = self._store.table(sobject)
        records = (table.alive(id18) if (id18 := canonical(text)) else None for text in ids)
        return [None if record is None else read_record(sobject, record, chosen, base) for record in records]

    def _run(self, rows: Sequence[tuple[str | None, Work]], all_or_none: bool, *, upsert: bool = False) -> Outcome:
        """Does the rows one by one: a row that fails leaves nothing behind, and with all_or_none nobody does."""
        outcomes: list[list[Saved] | SalesforceError] = []
        try:
            with self._store.transaction():
                for _, work in rows:
                    try:
                        with self._store.transaction():
                            outcomes.append(work())
                    except SalesforceError as failure:
                        outcomes.append(failure)
                if all_or_none and any(isinstance(outcome, SalesforceError) for outcome in outcomes):
                    raise _RollBack
        except _RollBack:
            return Outcome(
                [_undone(outcome, id_text) for outcome, (id_text, _) in zip(outcomes, rows, strict=True)], []
            )
        written = [outcome for outcome in outcomes if not isinstance(outcome, SalesforceError)]
        return Outcome(
            [
                _failure(outcome) if isinstance(outcome, SalesforceError) else _success(outcome[0], upsert)
                for outcome in outcomes
            ],
            [saved for outcome in written for saved in outcome],
        )

    def _create(self, draft: Draft, change: Change) -> list[Saved]:
        return [self._dml.create(draft, change)]

    def _update(self, id_text: str | None, draft: Draft, change: Change) -> list[Saved]:
        if id_text is None:
            raise errors.missing_argument("Id not specified in an update call")
        sobject = draft.sobject
        id18 = canonical(id_text)
        if id18 is None or self._schema.by_id(id18) is not sobject:
            raise errors.wrong_id("Id", f"{sobject.label} ID", id_text)
        self._dml.existing(sobject, id18, unknown=errors.invalid_reference())
        return [self._dml.update(sobject, id18, draft, change)]

    def _upsert(self, key: Field, given: Value, draft: Draft, change: Change, seen: set[Value]) -> list[Saved]:
        value = check(key, given)
        if value is None:
            raise errors.missing_argument(f"{key.name} not specified")
        if key.key(value) in seen:
            raise SalesforceError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [key.name])
        seen.add(key.key(value))
        if key.type == "id":
            self._dml.existing(draft.sobject, str(value), unknown=errors.invalid_reference())
        return [self._dml.upsert(key, value, draft, change)]

    def _delete(self, id_text: str, change: Change) -> list[Saved]:
        id18 = canonical(id_text)
        sobject = self._schema.by_id(id18) if id18 else None
        if id18 is None:
            raise errors.malformed_id(id_text)
        if sobject is None:
            raise errors.invalid_reference()
        return self._dml.delete(sobject, id18, change)

    def _records(self, body: object) -> list[Any]:
        """The rows of a body. Raises RequestError when it is malformed, too long, or changes object too often."""
        if not isinstance(body, dict) or not isinstance(body.get("records"), list):
            raise errors.unreadable_body("The request body must be an object with a 'records' array")
        if unknown := set(body) - {"records", "allOrNone"}:
            raise errors.unreadable_body(f'Unrecognized field "{min(unknown)}"')
        records: list[Any] = body["records"]
        if len(records) > MAX_ROWS:
            raise errors.too_many_records(MAX_ROWS)
        if len(list(groupby(records, self._type))) > MAX_CHUNKS:
            raise errors.RequestError(
                400,
                "LIMIT_EXCEEDED",
                f"Cannot have more than {MAX_CHUNKS} chunks in a single operation. Please rearrange the data to reduce "
                "chunking.",
            )
        return records

    def _type(self, record: object) -> SObject:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise errors.unreadable_body("Each record must contain an attributes map with a value for type")
        sobject = self._schema.sobject(name)
        if sobject is None:
            raise errors.RequestError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return sobject

    def _typed_draft(self, record: Mapping[str, Any], *, without: str | None = None) -> Draft:
        return read_draft(self._schema, self._type(record), record, without=without)


class _RollBack(Exception):
    pass


def _all_or_none(body: object) -> bool:
    return isinstance(body, dict) and body.get("allOrNone") is True


def _without_id(record: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The row's id under any spelling of the key, and the rest."""
    rest = {name: value for name, value in record.items() if name.lower() != "id"}
    given = next((value for name, value in record.items() if name.lower() == "id"), None)
    if given is not None and not isinstance(given, str):
        raise errors.unreadable_value("string", given)
    return given or None, rest


def _success(saved: Saved, upsert: bool) -> Result:
    result: Result = {"id": saved.id, "success": True, "errors": []}
    return {**result, "created": saved.action == "created"} if upsert else result


def _failure(error: SalesforceError) -> Result:
    return {"success": False, "errors": [error.row()]}


def _undone(outcome: list[Saved] | SalesforceError, id_text: str | None) -> Result:
    """A row of a request that was rolled back: the culprit keeps its own error, the others their id."""
    if isinstance(outcome, SalesforceError):
        return _failure(outcome)
    known = {"id": canonical(id_text)} if id_text else {}
    return {**known, **_failure(errors.rolled_back())}
