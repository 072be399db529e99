from __future__ import annotations

from typing import Any

import orjson
import pytest

from syncline.contracts.errors import Fatal, Malformed, RecordRejected, Transient
from syncline.salesforce.collections import (
    Saved,
    create_request,
    delete_request,
    read_deleted,
    read_retrieved,
    read_saved,
    retrieve_request,
    update_request,
    upsert_request,
)
from syncline.salesforce.errors import OutcomeUnknown

A, B = "0015e00000Ab1CdAAJ", "0015e00000Ab1CeAAJ"
ROWS: list[dict[str, Any]] = [{"Name": "A", "Fax": None}, {"Name": "B"}]


def failed(code: str, *fields: str, message: str = "?") -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


def done(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "success": True, "errors": [], **more}


def test_requests() -> None:
    create, update = create_request("Account", ROWS), update_request("Account", [{"Id": A, "Name": "A"}])
    assert (create.method, create.path, create.repeatable) == ("POST", "/composite/sobjects", False)
    assert orjson.loads(create.body or b"") == {
        "allOrNone": False,
        "records": [
            {"Name": "A", "Fax": None, "attributes": {"type": "Account"}},
            {"Name": "B", "attributes": {"type": "Account"}},
        ],
    }
    assert (update.method, update.path, update.repeatable) == ("PATCH", "/composite/sobjects", True)
    assert orjson.loads(update.body or b"")["records"] == [{"id": A, "Name": "A", "attributes": {"type": "Account"}}]
    upsert = upsert_request("Account", "Hub_Id__c", [{"Hub_Id__c": "7"}])
    assert (upsert.path, upsert.repeatable) == ("/composite/sobjects/Account/Hub_Id__c", True)
    delete = delete_request([A, B])
    assert (delete.method, delete.repeatable) == ("DELETE", True)
    assert delete.query == {"ids": f"{A},{B}", "allOrNone": "false"}
    retrieve = retrieve_request("Account", [A, B], ["Name", "Owner.Name"])
    assert (retrieve.method, retrieve.path, retrieve.kind, retrieve.repeatable) == (
        "POST",
        "/composite/sobjects/Account",
        "read",
        True,
    )
    assert orjson.loads(retrieve.body or b"") == {"ids": [A, B], "fields": ["Name", "Owner.Name"]}


@pytest.mark.parametrize("name", ["Account/../User", "Account?x", "", "Ünit"])
def test_names_cannot_change_the_address(name: str) -> None:
    with pytest.raises(ValueError):
        upsert_request(name, "Hub_Id__c", ROWS)
    with pytest.raises(ValueError):
        upsert_request("Account", name, ROWS)
    with pytest.raises(ValueError):
        retrieve_request(name, [A], ["Id"])


def test_an_update_without_id_is_malformed() -> None:
    with pytest.raises(Malformed, match="Id"):
        update_request("Account", [{"Name": "A"}])


def test_outcomes_come_in_the_order_of_the_rows() -> None:
    request = create_request("Account", [{}, {}, {}, {}])
    content = [done(A), failed("UNABLE_TO_LOCK_ROW"), failed("STRING_TOO_LONG", "Name"), done(B)]
    first, locked, rejected, last = read_saved(request, content, 4)
    assert (first, last) == (Saved(A, created=True), Saved(B, created=True))
    assert type(locked) is Transient
    assert isinstance(rejected, RecordRejected)
    assert (rejected.code, rejected.fields) == ("STRING_TOO_LONG", ("Name",))
    assert "transform" in rejected.remedy


def test_created_is_what_salesforce_says_of_an_upsert_and_never_of_an_update() -> None:
    upsert = upsert_request("Account", "Hub_Id__c", ROWS)
    assert read_saved(upsert, [done(A, created=True), done(B, created=False)], 2) == [Saved(A, True), Saved(B, False)]
    update = update_request("Account", [{"Id": A}])
    assert read_saved(update, [done(A)], 1) == [Saved(A, False)]


@pytest.mark.parametrize("code", ["INVALID_SESSION_ID", "FUNCTIONALITY_NOT_ENABLED", "UNKNOWN_EXCEPTION", "NEXT_YEARS"])
def test_one_row_never_stops_its_neighbours(code: str) -> None:
    (outcome,) = read_saved(create_request("Account", [{}]), [failed(code)], 1)
    assert isinstance(outcome, RecordRejected)


def test_a_row_that_failed_was_not_written() -> None:
    (outcome,) = read_saved(create_request("Account", [{}]), [failed("SERVER_UNAVAILABLE")], 1)
    assert isinstance(outcome, Transient)
    assert not isinstance(outcome, OutcomeUnknown)


def test_deleting_what_is_deleted_is_done() -> None:
    content = [done(A), failed("ENTITY_IS_DELETED"), failed("DELETE_FAILED")]
    first, again, kept = read_deleted(delete_request([A, B, A]), content, [A, B, A])
    assert (first, again) == (Saved(A), Saved(B))
    assert isinstance(kept, RecordRejected)


def test_retrieved_records_may_be_missing() -> None:
    request = retrieve_request("Account", [A, B], ["Name"])
    assert read_retrieved(request, [{"Name": "A"}, None], 2) == [{"Name": "A"}, None]


@pytest.mark.parametrize(
    "content", [None, {}, [], [done(A)], [done(A), None], [done(A), {}], [done(A), {"success": True}]]
)
def test_a_reply_that_is_not_row_by_row_is_fatal(content: Any) -> None:
    with pytest.raises(Fatal, match="2 rows"):
        read_saved(create_request("Account", ROWS), content, 2)
