"""The published contract says what the code does: its topics, its schemas, its examples, its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from syncline.contracts.change import Change
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import RecordRejected
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from syncline.contracts.pages import asyncapi, page, resolved
from syncline.contracts.ref import Object
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from tests.unit.contracts.test_round_trip import changes, schema
from tests.unit.foreign.samples import structured

DOCUMENT = asyncapi()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SHOP = Object("shop", "customer")


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


def test_the_topics_are_the_codes_own() -> None:
    names = Names()
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses == {
        "inbound": "{topic}",
        "changes": names.changes(Object("{system}", "{object}")),
        "results": names.results,
        "deadLetters": names.dead_letters,
    }


def test_every_reference_leads_somewhere_and_every_parameter_is_described() -> None:
    found = references(DOCUMENT)
    assert len(found) > 10
    assert all(resolved(DOCUMENT, {"$ref": each}) for each in found)
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_is_valid(name: str) -> None:
    validator = Draft202012Validator(resolved(DOCUMENT, MESSAGES[name]["payload"]))
    for example in MESSAGES[name]["examples"]:
        validator.validate(example["payload"])


def test_every_example_is_read_by_its_reader() -> None:
    for name, kind in (("change", Change), ("result", Result), ("deadLetter", DeadLetter)):
        for example in MESSAGES[name]["examples"]:
            kind.decode(orjson.dumps(example["payload"]))
    found = [
        read(Door(format="cloudevents", kind=SHOP), Message(None, orjson.dumps(example["payload"])))
        for example in MESSAGES["inbound"]["examples"]
    ]
    assert [(each[0].op, each[0].complete) for each in found if each] == [
        ("update", True),
        ("update", False),
        ("delete", True),
    ]
    (update,) = MESSAGES["debezium"]["examples"]
    debezium = read(Door(format="debezium", kind=SHOP), Message(b'{"id":1001}', orjson.dumps(update["payload"])))
    assert debezium
    assert debezium[0].fields == {"id": 1001, "first_name": "Sally", "email": None}


@given(changes)
def test_every_change_event_may_be_sent_to_a_door(change: Change) -> None:
    Draft202012Validator(schema("inbound.v1")).validate(orjson.loads(change.encode()))


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": "0.3"},
        {"id": ...},
        {"source": ""},
        {"type": "com.acme.other"},
        {"subject": ""},
        {"subject": "x" * 256},
        {"time": ...},
        {"sequence": True, "data": {"op": "update", "complete": True, "fields": {}}},
        {"data": ...},
        {"data": {"op": "merge"}},
        {"data": {"op": "update", "fields": {}}},
        {"data": {"op": "update", "complete": True}},
        {"data": {"op": "update", "complete": True, "fields": {"name": []}}},
        {"data": {"op": "update", "complete": True, "fields": {}, "version": ""}},
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(changed: dict[str, Any]) -> None:
    message = structured(**changed)
    assert list(Draft202012Validator(schema("inbound.v1")).iter_errors(orjson.loads(message.value or b"")))
    with pytest.raises(RecordRejected):
        read(Door(format="cloudevents", kind=SHOP), message)


def test_the_page_is_what_make_docs_writes() -> None:
    written = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text(encoding="utf-8")
    assert written == page(), "run `make docs`"
