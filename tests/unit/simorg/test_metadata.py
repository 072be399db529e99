from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from syncline.simorg import DEMO, Org, Schema
from tests.unit.simorg.world import BASE, create, select

KEYS = """
    aggregatable autoNumber byteLength calculated calculatedFormula cascadeDelete caseSensitive compoundFieldName
    controllerName createable custom defaultValue defaultValueFormula defaultedOnCreate dependentPicklist
    deprecatedAndHidden digits displayLocationInDecimal encrypted externalId extraTypeInfo filterable
    filteredLookupInfo groupable highScaleNumber htmlFormatted idLookup inlineHelpText label length mask maskType
    name nameField namePointing nillable permissionable picklistValues polymorphicForeignKey precision
    queryByDistance referenceTargetField referenceTo relationshipName relationshipOrder restrictedDelete
    restrictedPicklist scale searchPrefilterable soapType sortable type unique updateable writeRequiresMasterRead
"""


def describe(schema: Schema, name: str) -> dict[str, Any]:
    sobject = schema.sobject(name)
    assert sobject is not None
    return sobject.describe(BASE)


def fields(schema: Schema, name: str) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in describe(schema, name)["fields"]}


def test_account_and_contact_hold_the_usual_fields() -> None:
    account, contact = fields(Schema.standard(), "Account"), fields(Schema.standard(), "Contact")
    address = {"Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "Address"}
    assert set(account) >= {"Name", "AccountNumber", "Description", "Fax", "Phone", "Website", "Industry", "Type"}
    assert set(account) >= {"Rating", "AnnualRevenue", "NumberOfEmployees", "ParentId", "OwnerId", "SystemModstamp"}
    assert set(account) >= {kind + part for kind in ("Billing", "Shipping") for part in address}
    assert set(contact) >= {"FirstName", "LastName", "Salutation", "Name", "Email", "Phone", "MobilePhone", "Title"}
    assert set(contact) >= {"Department", "Birthdate", "AccountId", "ReportsToId", "OwnerId", "HasOptedOutOfEmail"}
    assert set(contact) >= {kind + part for kind in ("Mailing", "Other") for part in address}


def test_describe_states_every_key_that_clients_read() -> None:
    keys = set(re.findall(r"\w+", KEYS))
    for field in fields(Schema.standard(DEMO), "Contact").values():
        assert not keys - set(field)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("Id", {"type": "id", "length": 18, "soapType": "tns:ID", "createable": False, "idLookup": True}),
        ("LastName", {"type": "string", "length": 80, "nillable": False, "createable": True, "byteLength": 240}),
        ("Name", {"nameField": True, "createable": False, "updateable": False, "filterable": True}),
        ("Email", {"type": "email", "idLookup": True, "externalId": False}),
        ("MailingAddress", {"type": "address", "createable": False, "filterable": False, "soapType": "urn:address"}),
        ("MailingStreet", {"type": "textarea", "compoundFieldName": "MailingAddress", "filterable": True}),
        ("Description", {"type": "textarea", "length": 32000, "filterable": False, "sortable": False}),
        ("AccountId", {"type": "reference", "referenceTo": ["Account"], "relationshipName": "Account"}),
        ("HasOptedOutOfEmail", {"type": "boolean", "nillable": False, "defaultedOnCreate": True}),
        ("OwnerId", {"nillable": False, "defaultedOnCreate": True, "createable": True}),
        ("SystemModstamp", {"type": "datetime", "createable": False, "soapType": "xsd:dateTime"}),
        ("Hub_Id__c", {"custom": True, "externalId": True, "idLookup": True, "unique": True, "caseSensitive": False}),
    ],
)
def test_contact_fields_are_described_as_in_a_real_org(name: str, stated: dict[str, Any]) -> None:
    field = fields(Schema.standard(DEMO), "Contact")[name]
    assert {key: field[key] for key in stated} == stated


def test_account_knows_its_children() -> None:
    children = {child["field"]: child for child in describe(Schema.standard(), "Account")["childRelationships"]}
    assert children["AccountId"]["relationshipName"] == "Contacts"
    assert children["AccountId"]["cascadeDelete"] is True
    assert children["ParentId"]["cascadeDelete"] is False


def test_overlay_adds_fields_and_changes_keys(tmp_path: Path) -> None:
    overlay = {
        "name": "Account",
        "fields": [
            {"name": "Rating", "restrictedPicklist": True},
            {"name": "Score__c", "label": "Score", "type": "double", "precision": 5, "scale": 2},
        ],
    }
    (tmp_path / "Account.json").write_bytes(orjson.dumps(overlay))
    account = fields(Schema.standard(tmp_path), "Account")
    assert account["Rating"]["restrictedPicklist"] is True
    assert account["Rating"]["type"] == "picklist"
    assert account["Score__c"]["custom"] is True
    assert "Score__c" not in fields(Schema.standard(), "Account")


def test_custom_object_works_from_a_file_alone(tmp_path: Path) -> None:
    machine = {
        "name": "Machine__c",
        "label": "Machine",
        "fields": [
            {"name": "Name", "label": "Machine Name", "type": "string", "length": 80, "nameField": True},
            {"name": "Serial__c", "label": "Serial", "type": "string", "length": 20, "externalId": True},
            {
                "name": "Account__c",
                "label": "Account",
                "type": "reference",
                "referenceTo": ["Account"],
                "relationshipName": "Account__r",
            },
        ],
    }
    (tmp_path / "Machine__c.json").write_bytes(orjson.dumps(machine))
    org = Org(Schema.standard(DEMO, tmp_path))
    create(org, "Account", Name="Acme", Hub_Id__c="A-1")
    id18 = create(org, "machine__C", Name="Press", serial__c="7", Account__r={"Hub_Id__c": "a-1"})
    assert id18.startswith("a00")
    assert select(org, "SELECT Name, Serial__c, Account__r.Name FROM Machine__c") == [
        {"Name": "Press", "Serial__c": "7", "Account__r": {"Name": "Acme"}}
    ]


def test_describe_of_the_org_loads_as_its_own_schema(tmp_path: Path) -> None:
    schema = Schema.standard(DEMO)
    for sobject in schema:
        (tmp_path / f"{sobject.name}.json").write_bytes(orjson.dumps(sobject.describe(BASE)))
    again = Schema.load(tmp_path)
    assert [sobject.describe(BASE) for sobject in again] == [sobject.describe(BASE) for sobject in schema]


@pytest.mark.parametrize("text", ["[]", "{", '{"name": "X"}', '{"name": "X", "fields": [{"name": "Y"}]}'])
def test_unusable_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "X.json").write_text(text)
    with pytest.raises(ValueError, match=r"X\.json"):
        Schema.standard(tmp_path)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \*\.json file"):
        Schema.load(tmp_path)


def test_an_administrator_changes_objects_while_the_org_runs(org: Org) -> None:
    old = create(org, "Account", Name="Acme", Fax="1")
    assert select(org, "SELECT Id FROM Account WHERE Fax = '1'") == [{"Id": old}]
    added = {"name": "Size__c", "type": "double", "nillable": False}
    org.alter("Account", {"fields": [added], "deletable": False}, without=["Fax"])
    described = describe(org.schema, "Account")
    assert described["deletable"] is False
    assert "Fax" not in fields(org.schema, "Account")
    with pytest.raises(Exception, match="Required fields are missing"):
        create(org, "Account", Name="Beta")
    create(org, "Account", Name="Beta", Size__c=3)
    with pytest.raises(Exception, match="No such column 'Fax'"):
        select(org, "SELECT Fax FROM Account")
    create(org, "Contact", LastName="Ng", AccountId=old)
    org.alter("Account", {"fields": [{"name": "Fax", "type": "phone", "length": 40}]})
    assert select(org, "SELECT Fax FROM Account WHERE Fax = '1'") == [{"Fax": "1"}]
