"""What each type of field takes, how it is stored, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from syncline.simorg import DEMO, Org, Schema
from tests.unit.simorg.world import create, refused, stored, update


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Org:
    """An org with one object that has a field of every type."""
    folder = tmp_path_factory.mktemp("schema")
    types: list[dict[str, Any]] = [
        {"name": "Text__c", "type": "string", "length": 10},
        {"name": "Email__c", "type": "email"},
        {"name": "Int__c", "type": "int"},
        {"name": "Double__c", "type": "double", "precision": 6, "scale": 2},
        {"name": "Flag__c", "type": "boolean"},
        {"name": "Day__c", "type": "date"},
        {"name": "Moment__c", "type": "datetime"},
        {"name": "Free__c", "type": "picklist", "picklistValues": ["Hot", "Cold"]},
        {"name": "Strict__c", "type": "picklist", "picklistValues": ["Hot", "Cold"], "restrictedPicklist": True},
        {"name": "Many__c", "type": "multipicklist", "picklistValues": ["A", "B", "C"], "restrictedPicklist": True},
        {
            "name": "Account__c",
            "label": "Account ID",
            "type": "reference",
            "referenceTo": ["Account"],
            "relationshipName": "Account__r",
        },
    ]
    source = {"name": "Lab__c", "fields": [{"label": field["name"][:-3], **field} for field in types]}
    (folder / "Lab__c.json").write_bytes(orjson.dumps(source))
    return Org(Schema.standard(DEMO, Path(folder)))


def kept(org: Org, field: str, value: object) -> object:
    return stored(org, "Lab__c", create(org, "Lab__c", **{field: value})).get(field)


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("Text__c", "  a b \t\n", "a b"),
        ("Text__c", "", None),
        ("Text__c", " \r\n ", None),
        ("Text__c", None, None),
        ("Text__c", "\u00a0x\u00a0", "\u00a0x\u00a0"),
        ("Text__c", "1234567890  ", "1234567890"),
        ("Email__c", " a.b+c@Example.co.uk ", "a.b+c@Example.co.uk"),
        ("Int__c", 5, 5),
        ("Int__c", "-5", -5),
        ("Int__c", 5.0, 5),
        ("Double__c", 1, 1.0),
        ("Double__c", "1.255", 1.25),
        ("Double__c", 9999.994, 9999.99),
        ("Flag__c", True, True),
        ("Flag__c", "TRUE", True),
        ("Flag__c", "0", False),
        ("Day__c", "2026-02-28", "2026-02-28"),
        ("Moment__c", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000+0000"),
        ("Moment__c", "2026-11-20T10:00:00.999+01:00", "2026-11-20T09:00:00.000+0000"),
        ("Moment__c", "2026-11-20T10:00:00.5-0130", "2026-11-20T11:30:00.000+0000"),
        ("Free__c", "hOT", "Hot"),
        ("Free__c", "Tepid", "Tepid"),
        ("Strict__c", "cold", "Cold"),
        ("Many__c", "b; A;b", "B;A"),
        ("Many__c", ";", None),
    ],
)
def test_value_is_stored_as_salesforce_would(lab: Org, field: str, given: object, expected: object) -> None:
    value = kept(lab, field, given)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("field", "given", "code", "message"),
    [
        ("Text__c", "12345678901", "STRING_TOO_LONG", "Text: data value too large: 12345678901 (max length=10)"),
        ("Text__c", 5, "JSON_PARSER_ERROR", "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5"),
        ("Text__c", True, "JSON_PARSER_ERROR", "from VALUE_TRUE"),
        ("Text__c", ["a"], "JSON_PARSER_ERROR", "from START_ARRAY"),
        ("Email__c", "nobody", "INVALID_EMAIL_ADDRESS", "Email: invalid email address: nobody"),
        ("Email__c", "a@b", "INVALID_EMAIL_ADDRESS", "a@b"),
        ("Email__c", "a b@c.de", "INVALID_EMAIL_ADDRESS", "a b@c.de"),
        ("Int__c", 1.5, "JSON_PARSER_ERROR", "instance of int from VALUE_NUMBER_FLOAT value 1.5"),
        ("Int__c", "x", "JSON_PARSER_ERROR", "instance of int"),
        ("Int__c", 2**31, "NUMBER_OUTSIDE_VALID_RANGE", "2147483648"),
        ("Double__c", 10000, "NUMBER_OUTSIDE_VALID_RANGE", "10000"),
        ("Double__c", "1,5", "JSON_PARSER_ERROR", "instance of double from VALUE_STRING value 1,5"),
        ("Flag__c", None, "JSON_PARSER_ERROR", "instance of boolean from VALUE_NULL"),
        ("Flag__c", "yes", "JSON_PARSER_ERROR", "instance of boolean"),
        ("Day__c", "2026-02-30", "JSON_PARSER_ERROR", "instance of date from VALUE_STRING value 2026-02-30"),
        ("Day__c", "20.11.2026", "JSON_PARSER_ERROR", "instance of date"),
        ("Day__c", "0999-01-01", "JSON_PARSER_ERROR", "instance of date"),
        ("Moment__c", "2026-11-20", "JSON_PARSER_ERROR", "instance of datetime"),
        ("Moment__c", "2026-11-20 10:00:00Z", "JSON_PARSER_ERROR", "instance of datetime"),
        ("Moment__c", "2026-11-20T10:00:00", "JSON_PARSER_ERROR", "instance of datetime"),
        ("Strict__c", "Tepid", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Strict: bad value for restricted picklist"),
        ("Many__c", "A;D", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "field: D"),
        ("Account__c", "Acme", "MALFORMED_ID", "Account ID: id value of incorrect type: Acme"),
        ("Account__c", "0035e00000KdXyZAAV", "MALFORMED_ID", "id value of incorrect type: 0035e00000KdXyZAAV"),
        ("Account__c", "0015e00000Ab1CdAAJ", "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
    ],
)
def test_value_is_refused_as_salesforce_would(lab: Org, field: str, given: object, code: str, message: str) -> None:
    with refused(code, message):
        create(lab, "Lab__c", **{field: given})


def test_names_of_fields_may_be_in_any_case(lab: Org) -> None:
    assert stored(lab, "Lab__c", create(lab, "lab__C", tEXT__C="a"))["Text__c"] == "a"


def test_reference_takes_both_lengths_of_an_id(lab: Org) -> None:
    account = create(lab, "Account", Name="Acme")
    assert kept(lab, "Account__c", account[:15]) == account
    assert kept(lab, "Account__c", " " + account) == account


def test_null_and_blank_clear_a_field(lab: Org) -> None:
    id18 = create(lab, "Lab__c", Text__c="a", Int__c=1, Day__c="2026-01-01")
    update(lab, "Lab__c", id18, Text__c="  ", Int__c=None)
    record = stored(lab, "Lab__c", id18)
    assert ("Text__c" in record, "Int__c" in record, record["Day__c"]) == (False, False, "2026-01-01")
