from __future__ import annotations

import pytest

from syncline.simorg import DEMO, Options, Org, Schema
from tests.unit.simorg.world import names, refused, select

GIVEN = "0015e00000Ab1CdAAJ"


def test_rows_keep_the_audit_fields_that_they_give(org: Org) -> None:
    row = {"Name": "Acme", "Id": GIVEN, "SystemModstamp": "2026-01-02T03:04:05Z", "CreatedDate": "2025-01-01T00:00:00Z"}
    assert org.load({"Account": [row, {"Name": "Plain"}]})["Account"][0] == GIVEN
    assert select(org, "SELECT Id, CreatedDate, LastModifiedDate, SystemModstamp FROM Account ORDER BY Name") == [
        {
            "Id": GIVEN,
            "CreatedDate": "2025-01-01T00:00:00.000+0000",
            "LastModifiedDate": "2026-01-02T03:04:05.000+0000",
            "SystemModstamp": "2026-01-02T03:04:05.000+0000",
        },
        {
            "Id": org.records("Account")[1]["Id"],
            "CreatedDate": "2026-11-20T10:00:00.000+0000",
            "LastModifiedDate": "2026-11-20T10:00:00.000+0000",
            "SystemModstamp": "2026-11-20T10:00:00.000+0000",
        },
    ]


def test_rows_may_refer_to_each_other_and_be_deleted(org: Org) -> None:
    org.load(
        {
            "Contact": [{"LastName": "Ng", "AccountId": GIVEN}],
            "Account": [{"Id": GIVEN, "Name": "Acme"}, {"Name": "Gone", "deleted": True}],
        }
    )
    assert names(org, "SELECT Name FROM Contact WHERE Account.Name = 'Acme'") == ["Ng"]
    assert names(org, "SELECT Name FROM Account") == ["Acme"]
    assert [(row["Name"], row["IsDeleted"]) for row in org.records("account")] == [("Acme", False), ("Gone", True)]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ({"Account": [{"Name": "A"}, {}]}, "REQUIRED_FIELD_MISSING"),
        ({"Account": [{"Name": "A", "Foo": 1}]}, "INVALID_FIELD"),
        ({"Account": [{"Name": "A", "BillingAddress": {"city": "Bonn"}}]}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Account": [{"Name": "A", "Hub_Id__c": "1"}, {"Name": "B", "Hub_Id__c": "1"}]}, "DUPLICATE_VALUE"),
        ({"Account": [{"Name": "A", "Id": GIVEN}, {"Name": "B", "Id": GIVEN}]}, "DUPLICATE_VALUE"),
        ({"Contact": [{"LastName": "A", "Id": GIVEN}]}, "MALFORMED_ID"),
        ({"Contact": [{"LastName": "A", "AccountId": GIVEN}]}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"Account": [{"Name": "A", "Id": GIVEN, "ParentId": GIVEN}]}, "CIRCULAR_DEPENDENCY"),
    ],
)
def test_bad_row_keeps_everything_out(org: Org, rows: dict[str, list[dict[str, object]]], code: str) -> None:
    with refused(code):
        org.load({"Account": [{"Name": "First"}], **rows})
    assert org.records("Account") == org.records("Contact") == []


def test_circles_come_in_where_the_org_allows_them() -> None:
    org = Org(Schema.standard(DEMO), options=Options(allow_parent_cycles=True))
    org.load({"Account": [{"Name": "A", "Id": GIVEN, "ParentId": GIVEN}]})
    assert names(org, "SELECT Name FROM Account WHERE Parent.Name = 'A'") == ["A"]


def test_records_made_after_a_load_get_ids_of_their_own(org: Org) -> None:
    taken = org.load({"Account": [{"Name": str(number)} for number in range(5)]})["Account"]
    again = Org(Schema.standard(DEMO))
    again.load({"Account": [{"Name": "A", "Id": id18} for id18 in taken]})
    assert again.load({"Account": [{"Name": "B"}]})["Account"][0] not in taken
