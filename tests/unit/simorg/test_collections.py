from __future__ import annotations

from typing import Any

import pytest

from syncline.simorg import Fault, Org
from syncline.simorg.collections import Collections, Outcome
from tests.unit.simorg.world import create, names, refused, stored

ROLLED_BACK = "ALL_OR_NONE_OPERATION_ROLLED_BACK"


def row(object_name: str, **values: Any) -> dict[str, Any]:
    return {"attributes": {"type": object_name}, **values}


def body(*rows: dict[str, Any], all_or_none: bool = False) -> dict[str, Any]:
    return {"allOrNone": all_or_none, "records": list(rows)}


def codes(outcome: Outcome) -> list[str | None]:
    """The status code of each row, None for success."""
    return [None if one["success"] else one["errors"][0]["statusCode"] for one in outcome.results]


@pytest.fixture
def many(org: Org) -> Collections:
    return org.collections


def test_rows_fail_alone(org: Org, many: Collections) -> None:
    outcome = many.create(
        body(row("Account", Name="A"), row("Contact"), row("Contact", LastName="Ng")), org.change(org.user_id)
    )
    assert codes(outcome) == [None, "REQUIRED_FIELD_MISSING", None]
    assert outcome.results[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert outcome.results[0] == {"id": outcome.results[0]["id"], "success": True, "errors": []}
    assert [saved.action for saved in outcome.saved] == ["created", "created"]


def test_all_or_none_undoes_everything_and_says_so(org: Org, many: Collections) -> None:
    account = create(org, "Account", Name="A")
    outcome = many.update(
        body(row("Account", id=account, Name="B"), row("Account", id=account, Name=None), all_or_none=True),
        org.change(org.user_id),
    )
    assert codes(outcome) == [ROLLED_BACK, "REQUIRED_FIELD_MISSING"]
    assert outcome.results[0]["id"] == account
    assert "id" not in outcome.results[1]
    assert outcome.saved == []
    assert stored(org, "Account", account)["Name"] == "A"


def test_rolled_back_creates_leave_no_trace_in_any_index(org: Org, many: Collections) -> None:
    rows = [row("Account", Name="A", Hub_Id__c="A-1"), row("Account")]
    assert codes(many.create(body(*rows, all_or_none=True), org.change(org.user_id)))[0] == ROLLED_BACK
    assert "id" not in many.create(body(*rows, all_or_none=True), org.change(org.user_id)).results[0]
    assert names(org, "SELECT Name FROM Account WHERE Hub_Id__c = 'A-1'") == []
    assert names(org, "SELECT Name FROM Account WHERE SystemModstamp > YESTERDAY") == []
    assert codes(many.create(body(rows[0]), org.change(org.user_id))) == [None]


def test_later_row_may_name_an_earlier_one_by_external_id(org: Org, many: Collections) -> None:
    outcome = many.create(
        body(row("Account", Name="A", Hub_Id__c="A-1"), row("Contact", LastName="Ng", Account={"Hub_Id__c": "A-1"})),
        org.change(org.user_id),
    )
    assert codes(outcome) == [None, None]


@pytest.mark.parametrize("bad", [{"Foo": 1}, {"Birthdate": "soon"}, {"Id": "0035e00000KdXyZAAV"}])
def test_row_that_cannot_be_read_fails_the_whole_request(org: Org, many: Collections, bad: dict[str, Any]) -> None:
    with refused("JSON_PARSER_ERROR" if "Birthdate" in bad else "INVALID_FIELD"):
        many.create(body(row("Contact", LastName="Ng"), row("Contact", LastName="Oz", **bad)), org.change(org.user_id))
    assert names(org, "SELECT Name FROM Contact") == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "JSON_PARSER_ERROR"),
        ({}, "JSON_PARSER_ERROR"),
        ({"records": [{"Name": "A"}]}, "JSON_PARSER_ERROR"),
        ({"records": [{"attributes": {"type": "Nope"}}]}, "INVALID_TYPE"),
        ({"records": [], "alOrNone": True}, "JSON_PARSER_ERROR"),
        ({"records": [row("Account", Name="A")] * 201}, "EXCEEDED_ID_LIMIT"),
        ({"records": [row("Account", Name="A"), row("Contact", LastName="B")] * 6}, "LIMIT_EXCEEDED"),
    ],
)
def test_malformed_requests_are_refused(org: Org, many: Collections, given: object, code: str) -> None:
    with refused(code):
        many.create(given, org.change(org.user_id))


def test_200_rows_of_ten_chunks_are_taken(org: Org, many: Collections) -> None:
    rows = [row("Account", Name="A"), row("Contact", LastName="B")] * 5
    rows += [row("Contact", LastName="C")] * 190
    assert len(many.create(body(*rows), org.change(org.user_id)).saved) == 200


def test_update_needs_a_good_id(org: Org, many: Collections) -> None:
    contact = create(org, "Contact", LastName="Ng")
    gone = create(org, "Account", Name="Gone")
    org.collections.delete([gone], False, org.change(org.user_id))
    outcome = many.update(
        body(
            row("Account", Name="B"),
            row("Account", id="nonsense", Name="B"),
            row("Account", Id=contact, Name="B"),
            row("Account", id="0015e00000Ab1CdAAJ", Name="B"),
            row("Account", id=gone, Name="B"),
        ),
        org.change(org.user_id),
    )
    assert codes(outcome) == [
        "MISSING_ARGUMENT",
        "MALFORMED_ID",
        "MALFORMED_ID",
        "INVALID_CROSS_REFERENCE_KEY",
        "ENTITY_IS_DELETED",
    ]


def test_upsert_tells_created_from_updated(org: Org, many: Collections) -> None:
    known = create(org, "Account", Name="A", Hub_Id__c="A-1")
    outcome = many.upsert(
        "Account",
        "Hub_Id__c",
        body(row("Account", Hub_Id__c="a-1", Phone="1"), row("Account", hub_id__c="A-2", Name="B")),
        org.change(org.user_id),
    )
    assert outcome.results[0] == {"id": known, "success": True, "errors": [], "created": False}
    assert outcome.results[1]["created"] is True


def test_upsert_rows_need_a_key_of_their_own(org: Org, many: Collections) -> None:
    outcome = many.upsert(
        "Account",
        "Hub_Id__c",
        body(
            row("Account", Name="A"),
            row("Account", Name="A", Hub_Id__c=" "),
            row("Account", Name="A", Hub_Id__c="A-1"),
            row("Account", Name="B", Hub_Id__c="a-1"),
        ),
        org.change(org.user_id),
    )
    assert codes(outcome) == ["MISSING_ARGUMENT", "MISSING_ARGUMENT", None, "DUPLICATE_VALUE"]
    assert outcome.results[3]["errors"][0]["message"] == "Duplicate external id specified: a-1"


def test_upsert_by_a_value_that_several_share_fails_its_row(org: Org, many: Collections) -> None:
    for name in ("Ng", "Oz"):
        create(org, "Contact", LastName=name, Email="a@b.de")
    outcome = many.upsert("Contact", "Email", body(row("Contact", Email="a@b.de", Phone="1")), org.change(org.user_id))
    assert codes(outcome) == ["DUPLICATE_EXTERNAL_ID"]


def test_upsert_takes_one_object_only(org: Org, many: Collections) -> None:
    with refused("JSON_PARSER_ERROR"):
        many.upsert("Account", "Hub_Id__c", body(row("Contact", LastName="Ng", Hub_Id__c="1")), org.change(org.user_id))


def test_delete_answers_for_each_id(org: Org, many: Collections) -> None:
    account, contact = create(org, "Account", Name="A"), create(org, "Contact", LastName="Ng")
    outcome = many.delete(
        [account[:15], contact, account, "junk", "0015e00000Ab1CdAAJ"], False, org.change(org.user_id)
    )
    assert codes(outcome) == [None, None, "ENTITY_IS_DELETED", "MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY"]
    assert outcome.results[0]["id"] == account


def test_rolled_back_deletes_keep_their_ids(org: Org, many: Collections) -> None:
    account = create(org, "Account", Name="A")
    outcome = many.delete([account, "junk"], True, org.change(org.user_id))
    assert outcome.results[0] == {
        "id": account,
        "success": False,
        "errors": [
            {
                "statusCode": ROLLED_BACK,
                "message": "Record rolled back because not all records were valid and the request was using AllOrNone "
                "header",
                "fields": [],
            }
        ],
    }
    assert names(org, "SELECT Name FROM Account") == ["A"]


def test_retrieve_gives_null_for_what_is_not_there(org: Org, many: Collections) -> None:
    account, gone = create(org, "Account", Name="A"), create(org, "Account", Name="B")
    many.delete([gone], False, org.change(org.user_id))
    rows = many.retrieve("account", [gone, account[:15], "junk"], ["name"], "/services/data/v67.0")
    assert rows == [
        None,
        {
            "attributes": {"type": "Account", "url": f"/services/data/v67.0/sobjects/Account/{account}"},
            "Name": "A",
            "Id": account,
        },
        None,
    ]
    with refused("INVALID_FIELD", "No such column 'Nope' on sobject of type Account"):
        many.retrieve("Account", [account], ["Nope"], "")
    with refused("EXCEEDED_ID_LIMIT"):
        many.retrieve("Account", [account] * 2001, ["Name"], "")


def test_locked_row_fails_alone_and_leaves_nothing(org: Org, many: Collections) -> None:
    org.faults.rules = [Fault("lock_row", next=1)]
    outcome = many.create(body(row("Account", Name="A"), row("Account", Name="B")), org.change(org.user_id))
    assert codes(outcome) == ["UNABLE_TO_LOCK_ROW", None]
    assert names(org, "SELECT Name FROM Account") == ["B"]
