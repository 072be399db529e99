from __future__ import annotations

import pytest

from syncline.simorg import DEMO, Options, Org, Schema
from tests.unit.simorg.world import Clock, create, delete, names, refused, select, stored, update, upsert

NOW = "2026-11-20T10:00:00.000+0000"


def test_create_sets_id_owner_and_audit_fields_in_whole_seconds(org: Org) -> None:
    record = stored(org, "Account", create(org, "Account", Name="Acme"))
    assert str(record["Id"]).startswith("001")
    assert record["OwnerId"] == record["CreatedById"] == record["LastModifiedById"] == org.user_id
    assert record["CreatedDate"] == record["LastModifiedDate"] == record["SystemModstamp"] == NOW
    assert record["IsDeleted"] is False


def test_update_leaves_what_it_does_not_name_and_moves_the_stamp(org: Org, clock: Clock) -> None:
    id18 = create(org, "Account", Name="Acme", Phone="1", Fax="2")
    clock.advance(seconds=5)
    update(org, "Account", id18, Phone="3")
    record = stored(org, "Account", id18)
    assert (record["Name"], record["Phone"], record["Fax"]) == ("Acme", "3", "2")
    assert record["CreatedDate"] == NOW
    assert record["SystemModstamp"] == record["LastModifiedDate"] == "2026-11-20T10:00:05.000+0000"


def test_update_that_changes_nothing_still_moves_the_stamp(org: Org, clock: Clock) -> None:
    id18 = create(org, "Account", Name="Acme")
    clock.advance(seconds=1)
    update(org, "Account", id18)
    assert stored(org, "Account", id18)["SystemModstamp"] == "2026-11-20T10:00:01.000+0000"


def test_two_changes_within_a_second_share_their_stamp(org: Org, clock: Clock) -> None:
    id18 = create(org, "Account", Name="Acme")
    clock.advance(milliseconds=200)
    update(org, "Account", id18, Phone="1")
    assert stored(org, "Account", id18)["SystemModstamp"] == NOW


@pytest.mark.parametrize(
    ("object_name", "values", "missing"),
    [("Account", {}, ["Name"]), ("Account", {"Name": "  "}, ["Name"]), ("Contact", {"FirstName": "A"}, ["LastName"])],
)
def test_required_fields_are_asked_for(org: Org, object_name: str, values: dict[str, str], missing: list[str]) -> None:
    with refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: {missing}".replace("'", ""), fields=missing):
        create(org, object_name, **values)


def test_required_field_cannot_be_cleared(org: Org) -> None:
    id18 = create(org, "Contact", LastName="Ng")
    with refused("REQUIRED_FIELD_MISSING", fields=["LastName"]):
        update(org, "Contact", id18, LastName=None)
    assert stored(org, "Contact", id18)["LastName"] == "Ng"


def test_unknown_field_is_no_column(org: Org) -> None:
    with refused("INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account"):
        create(org, "Account", Name="Acme", Foo__c=1)


def test_id_in_a_create_is_refused(org: Org) -> None:
    with refused("INVALID_FIELD", "The Id field should not be specified in the sobject data."):
        create(org, "Account", Name="Acme", id="0015e00000Ab1CdAAJ")


@pytest.mark.parametrize("name", ["SystemModstamp", "CreatedDate", "LastModifiedDate", "IsDeleted"])
def test_audit_fields_are_read_only(org: Org, name: str) -> None:
    value = True if name == "IsDeleted" else "2026-11-20T10:00:00Z"
    with refused("INVALID_FIELD_FOR_INSERT_UPDATE", name, fields=[name]):
        create(org, "Account", **{"Name": "Acme", name: value})


def test_compound_fields_are_read_only_and_built_from_their_parts(org: Org) -> None:
    with refused("INVALID_FIELD_FOR_INSERT_UPDATE", fields=["Name", "MailingAddress"]):
        create(org, "Contact", LastName="Ng", Name="Ng", MailingAddress={"city": "Bonn"})
    create(org, "Contact", Salutation="Dr.", FirstName="Ada", LastName="Ng", MailingCity="Bonn", MailingLatitude=50.7)
    create(org, "Contact", LastName="Oz")
    assert select(org, "SELECT Name, MailingAddress FROM Contact ORDER BY Name") == [
        {
            "Name": "Ada Ng",
            "MailingAddress": {
                "city": "Bonn",
                "country": None,
                "geocodeAccuracy": None,
                "latitude": 50.7,
                "longitude": None,
                "postalCode": None,
                "state": None,
                "street": None,
            },
        },
        {"Name": "Oz", "MailingAddress": None},
    ]


def test_name_follows_its_parts(org: Org) -> None:
    id18 = create(org, "Contact", FirstName="Ada", LastName="Ng")
    update(org, "Contact", id18, FirstName=None, LastName="Oz")
    assert names(org, "SELECT Id FROM Contact WHERE Name = 'oz'") == [id18]


def test_upsert_creates_then_updates_whatever_the_case_of_the_key(org: Org) -> None:
    id18, created = upsert(org, "Account", "Hub_Id__c", "A-1", Name="Acme")
    assert created
    assert upsert(org, "account", "hub_id__c", "a-1 ", Phone="1") == (id18, False)
    assert stored(org, "Account", id18)["Hub_Id__c"] == "A-1"


def test_upsert_key_may_not_be_repeated_in_the_body(org: Org) -> None:
    with refused("INVALID_FIELD", "The Hub_Id__c field should not be specified in the sobject data."):
        upsert(org, "Account", "Hub_Id__c", "A-1", Name="Acme", Hub_Id__c="A-1")


def test_upsert_by_an_ordinary_field_is_refused(org: Org) -> None:
    with refused("NOT_FOUND", "Provided external ID field does not exist or is not accessible: Phone", status=404):
        upsert(org, "Account", "Phone", "1", Name="Acme")


def test_upsert_by_email_that_several_share_is_left_to_the_caller(org: Org) -> None:
    ids = [create(org, "Contact", LastName=name, Email="a@b.de") for name in ("Ng", "Oz")]
    with refused("DUPLICATE_EXTERNAL_ID", ids[0], status=300):
        upsert(org, "Contact", "Email", "A@B.de", Phone="1")


def test_unique_value_is_taken_whatever_its_case(org: Org) -> None:
    first = create(org, "Account", Name="Acme", Hub_Id__c="A-1")
    message = f"duplicate value found: Hub_Id__c duplicates value on record with id: {first[:15]}"
    with refused("DUPLICATE_VALUE", message):
        create(org, "Account", Name="Other", Hub_Id__c="a-1")
    other = create(org, "Account", Name="Other", Hub_Id__c="A-2")
    with refused("DUPLICATE_VALUE", message):
        update(org, "Account", other, Hub_Id__c="A-1")
    update(org, "Account", first, Hub_Id__c="a-1")


def test_deleted_record_gives_its_unique_value_back(org: Org) -> None:
    first = create(org, "Account", Name="Acme", Hub_Id__c="A-1")
    delete(org, "Account", first)
    second, created = upsert(org, "Account", "Hub_Id__c", "A-1", Name="Acme")
    assert created
    assert second != first


def test_parent_by_external_id(org: Org) -> None:
    account = create(org, "Account", Name="Acme", Hub_Id__c="A-1")
    contact = create(org, "Contact", LastName="Ng", Account={"Hub_Id__c": "a-1"})
    assert stored(org, "Contact", contact)["AccountId"] == account
    with refused("INVALID_FIELD", "Foreign key external ID: a-9 not found for field Hub_Id__c in entity Account"):
        update(org, "Contact", contact, Account={"hub_id__c": "A-9"})
    with refused("INVALID_FIELD", "AccountId and Account cannot both be specified"):
        update(org, "Contact", contact, Account={"Hub_Id__c": "A-1"}, AccountId=account)
    with refused("INVALID_FIELD", "Phone is not an External ID or indexed field for Account"):
        update(org, "Contact", contact, Account={"Phone": "1"})


def test_reference_to_a_deleted_record_is_refused(org: Org) -> None:
    account = create(org, "Account", Name="Acme")
    delete(org, "Account", account)
    with refused("ENTITY_IS_DELETED", "entity is deleted"):
        create(org, "Contact", LastName="Ng", AccountId=account)


def test_deleting_an_account_takes_its_contacts_along(org: Org, clock: Clock) -> None:
    account, other = create(org, "Account", Name="Acme"), create(org, "Account", Name="Other")
    create(org, "Contact", LastName="Ng", AccountId=account)
    create(org, "Contact", LastName="Oz", AccountId=other)
    clock.advance(seconds=3)
    delete(org, "Account", account)
    assert names(org, "SELECT Name FROM Contact") == ["Oz"]
    gone = "SELECT Name, SystemModstamp, AccountId FROM Contact WHERE IsDeleted = true"
    assert select(org, gone) == []
    assert select(org, gone, include_deleted=True) == [
        {"Name": "Ng", "SystemModstamp": "2026-11-20T10:00:03.000+0000", "AccountId": account}
    ]


def test_deleting_clears_other_lookups_and_moves_their_stamp_alone(org: Org, clock: Clock) -> None:
    parent = create(org, "Account", Name="Parent")
    child = create(org, "Account", Name="Child", ParentId=parent)
    clock.advance(seconds=3)
    delete(org, "Account", parent)
    record = stored(org, "Account", child)
    assert "ParentId" not in record
    assert (record["LastModifiedDate"], record["SystemModstamp"]) == (NOW, "2026-11-20T10:00:03.000+0000")


def test_missing_and_deleted_records_are_told_apart(org: Org) -> None:
    nobody = "0015e00000Ab1CdAAJ"
    with refused("NOT_FOUND", "The requested resource does not exist", status=404):
        update(org, "Account", nobody, Phone="1")
    with refused("INVALID_CROSS_REFERENCE_KEY", status=404):
        delete(org, "Account", nobody)
    account = create(org, "Account", Name="Acme")
    delete(org, "Account", account)
    with refused("ENTITY_IS_DELETED", status=404):
        update(org, "Account", account, Phone="1")
    with refused("ENTITY_IS_DELETED", status=404):
        delete(org, "Account", account)


def test_hierarchy_may_not_close_a_circle(org: Org) -> None:
    top = create(org, "Account", Name="Top")
    middle = create(org, "Account", Name="Middle", ParentId=top)
    bottom = create(org, "Account", Name="Bottom", ParentId=middle)
    with refused("CIRCULAR_DEPENDENCY", "attempt to violate hierarchy constraints"):
        update(org, "Account", top, ParentId=bottom)
    with refused("CIRCULAR_DEPENDENCY"):
        update(org, "Account", top, ParentId=top)
    update(org, "Account", bottom, ParentId=top)


def test_circle_is_taken_where_the_org_allows_it() -> None:
    org = Org(Schema.standard(DEMO), options=Options(allow_parent_cycles=True))
    top = create(org, "Account", Name="Top")
    bottom = create(org, "Account", Name="Bottom", ParentId=top)
    update(org, "Account", top, ParentId=bottom)
    assert stored(org, "Account", top)["ParentId"] == bottom


def test_users_are_not_made_over_the_api(org: Org) -> None:
    with refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted: User"):
        create(org, "User", LastName="Ng", Username="a@b.de", Email="a@b.de")


def test_owner_must_be_a_user(org: Org) -> None:
    account = create(org, "Account", Name="Acme")
    with refused("MALFORMED_ID", "Owner ID: id value of incorrect type"):
        update(org, "Account", account, OwnerId=account)
    with refused("REQUIRED_FIELD_MISSING", fields=["OwnerId"]):
        update(org, "Account", account, OwnerId=None)
