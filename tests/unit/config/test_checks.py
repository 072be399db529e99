"""What is wrong with a mapping is found before anything runs, and each finding says what to do about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncline.config.checks import ACCESS, Finding, check, placeholders, refuse
from syncline.config.load import load
from syncline.config.model import Config
from syncline.contracts.catalog import Catalog, FieldInfo, FieldType
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object
from tests.unit.config.catalogs import DEMO_ENVIRON, SHIPPED
from tests.unit.config.world import config

ROOT = Path(__file__).parents[3]
ACCOUNT, CONTACT = Object("sf", "Account"), Object("sf", "Contact")
COMPANY, PERSON = Object("hub", "company"), Object("hub", "person")


def catalog(*fields: FieldInfo) -> Catalog:
    return {field.name: field for field in fields}


def catalogs() -> dict[Object, Catalog]:
    """In which everything that the small configuration names is right."""
    text, reference = FieldInfo(name="?"), FieldInfo(name="?", type="reference")
    return {
        ACCOUNT: catalog(
            replace(text, name="Name", required=True),
            replace(text, name="BillingCity"),
            replace(reference, name="ParentId"),
            replace(text, name="Hub__c", external_id=True),
        ),
        CONTACT: catalog(replace(text, name="LastName", required=True), replace(reference, name="AccountId")),
        COMPANY: catalog(
            replace(text, name="name", required=True),
            replace(text, name="billing.city"),
            replace(reference, name="parent_id"),
            replace(text, name="sf_id", external_id=True),
        ),
        PERSON: catalog(replace(text, name="last_name"), replace(reference, name="company_id")),
    }


def findings(read: Config, found: dict[Object, Catalog]) -> list[tuple[str, str, str]]:
    return [(each.place, each.what, each.remedy) for each in check(read, found)]


def without(kind: Object, field: str) -> dict[Object, Catalog]:
    found = catalogs()
    del found[kind][field]
    return found


def changed(kind: Object, field: str, info: FieldInfo) -> dict[Object, Catalog]:
    found = catalogs()
    found[kind][field] = info
    return found


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert findings(config(), catalogs()) == []


def test_nothing_is_found_for_the_demo_against_the_simulated_org_and_the_shipped_hub() -> None:
    demo = load(ROOT / "syncline/local/demo/pipelines.yaml", DEMO_ENVIRON)
    assert findings(demo, SHIPPED) == []


def test_the_example_lacks_nothing_but_its_placeholders() -> None:
    example = load(ROOT / "examples/pipelines.yaml", DEMO_ENVIRON)
    assert {each.place for each in placeholders(example)} == {
        "pipelines.account-to-company.fields.tier",
        "pipelines.company-to-account.fields.Your_Tier__c",
        "pipelines.contact-to-customer.fields.segment",
        "pipelines.customer-to-contact.fields.Your_Segment__c",
    }
    named = [each for each in check(example, SHIPPED) if each not in placeholders(example)]
    assert all("Your_" in each.what for each in named)


def test_a_placeholder_names_itself() -> None:
    read = config(("      name: Name", "      name: {from: Your_Name__c, placeholder: true}"))
    assert placeholders(read) == [
        Finding(
            "pipelines.companies.fields.name",
            "Your_Name__c is a placeholder",
            "Name your own field and remove `placeholder: true`, or remove the mapping.",
        )
    ]
    assert placeholders(read)[0] in check(read, catalogs())


def test_an_object_that_the_system_does_not_show() -> None:
    found = catalogs()
    del found[CONTACT]
    assert findings(config(), found) == [("pipelines.people.from", "sf shows no object Contact", ACCESS)]
    found = catalogs()
    del found[PERSON]
    assert findings(config(), found) == [("pipelines.people.to", "hub shows no object person", ACCESS)]


@pytest.mark.parametrize(
    ("kind", "field", "pipeline"),
    [
        (ACCOUNT, "Name", "companies"),
        (ACCOUNT, "ParentId", "companies"),
        (CONTACT, "AccountId", "people"),
        (COMPANY, "billing.city", "accounts"),
    ],
    ids=["mapped", "reference", "parent", "column of an embed"],
)
def test_a_source_field_that_is_not_there(kind: Object, field: str, pipeline: str) -> None:
    assert (f"pipelines.{pipeline}", f"{kind} has no field {field}", ACCESS) in findings(config(), without(kind, field))


def test_a_filters_field_must_be_there_too() -> None:
    read = config(("    match: [[name]]", "    where: {Type: Customer}"))
    assert findings(read, catalogs()) == [("pipelines.companies", "sf/Account has no field Type", ACCESS)]


def test_a_field_of_a_related_object_is_not_judged_by_this_ones_describe() -> None:
    assert findings(config(("name: Name", "name: Owner.Name")), catalogs()) == []


def test_names_differ_by_case_and_the_right_one_is_offered() -> None:
    read = config(("name: Name", "name: NAME"), ("last_name: LastName", "LAST_NAME: LastName"))
    assert findings(read, catalogs()) == [
        ("pipelines.companies", "sf/Account has no field NAME", "Did you mean Name?"),
        ("pipelines.people.fields.LAST_NAME", "hub/person has no field LAST_NAME", "Did you mean last_name?"),
    ]


@pytest.mark.parametrize(
    ("kind", "field", "place"),
    [
        (COMPANY, "name", "companies.fields.name"),
        (COMPANY, "parent_id", "companies.fields.parent_id"),
        (PERSON, "company_id", "people.fields.company_id"),
    ],
    ids=["mapped", "reference", "parent"],
)
def test_a_target_field_that_is_not_there(kind: Object, field: str, place: str) -> None:
    assert (f"pipelines.{place}", f"{kind} has no field {field}", ACCESS) in findings(config(), without(kind, field))


def test_a_target_field_that_cannot_be_written() -> None:
    found = changed(PERSON, "last_name", FieldInfo(name="last_name", writable=False))
    assert findings(config(), found) == [
        (
            "pipelines.people.fields.last_name",
            "last_name of hub/person cannot be written",
            "Map its parts, or give the permission.",
        )
    ]


def test_required_fields_that_nothing_fills() -> None:
    found = catalogs()
    for name in ("size", "branch"):
        found[COMPANY][name] = FieldInfo(name=name, required=True)
    assert findings(config(), found) == [
        ("pipelines.companies", "hub/company requires branch, size", "Map them, or give `static` values.")
    ]
    read = config(("      name: Name", "      name: Name\n      size: {static: 1}\n      branch: {static: x}"))
    assert findings(read, found) == []


def test_the_field_that_holds_the_counterparts_id() -> None:
    place = "pipelines.accounts"
    assert findings(config(), without(ACCOUNT, "Hub__c")) == [
        ("pipelines.companies", "sf/Account has no field Hub__c", ACCESS),
        (place, "sf/Account has no field Hub__c, its counterpart's id", ACCESS),
    ]
    assert findings(config(), changed(ACCOUNT, "Hub__c", FieldInfo(name="Hub__c"))) == [
        (place, "Hub__c of sf/Account is not unique", "Make it a unique external ID or column.")
    ]
    hidden = FieldInfo(name="Hub__c", external_id=True, writable=False)
    assert findings(config(), changed(ACCOUNT, "Hub__c", hidden)) == [
        (place, "Hub__c of sf/Account cannot be written", "Give the permission.")
    ]


@pytest.mark.parametrize("one", ["text", "number", "boolean", "date", "datetime", "reference", "other"])
@pytest.mark.parametrize("other", ["text", "number", "boolean", "date", "datetime", "reference", "other"])
def test_types_of_which_one_can_never_become_the_other(one: FieldType, other: FieldType) -> None:
    found = changed(CONTACT, "LastName", FieldInfo(name="LastName", type=one))
    found[PERSON]["last_name"] = FieldInfo(name="last_name", type=other)
    scalar = {"number", "boolean", "date", "datetime"}
    expected = [
        ("pipelines.people.fields.last_name", f"a {one} cannot become a {other}", "Map another field."),
    ]
    assert findings(config(), found) == (expected if one != other and {one, other} <= scalar else [])


def test_all_findings_are_refused_at_once() -> None:
    refuse([])
    with pytest.raises(Fatal) as caught:
        refuse([Finding("pipelines.a", "x is wrong", "Do y."), Finding("pipelines.b", "z is missing", ACCESS)])
    assert str(caught.value).splitlines() == [
        "the configuration cannot run:",
        "  pipelines.a: x is wrong. Do y.",
        f"  pipelines.b: z is missing. {ACCESS}",
    ]
