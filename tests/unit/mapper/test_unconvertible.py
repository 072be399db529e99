"""A record whose values cannot be converted is a dead letter of that pipeline alone, and goes on once it is retried."""

from __future__ import annotations

from typing import Any

from services.mapper.records import Records
from syncline.config.model import Config
from syncline.contracts.change import Change
from tests.unit.mapper.test_join import CONFIG, HUB_A, NAMES, A, C, Mapper, account, contact

PHONE = {"phone": {"from": "Phone", "transform": [{"phone": "DE"}]}}
NUMBER = {"phone": {"from": "Phone", "transform": ["trim"]}}


def config(fields: dict[str, Any]) -> Config:
    """Two pipelines read Contacts; only one of them converts."""
    contacts = CONFIG["pipelines"]["contacts"]
    pipelines = {
        "accounts": CONFIG["pipelines"]["accounts"],
        "strict": {**contacts, "fields": {**contacts["fields"], **fields}},
        "contacts": contacts,
    }
    return Config.model_validate({**CONFIG, "pipelines": pipelines})


def bad(version: int = 1) -> Change:
    return contact("c", "A", version, Phone="call me")


def test_the_other_pipelines_and_records_go_on() -> None:
    mapper = Mapper(config(PHONE))
    mapper.written(A, HUB_A)
    mapper.change(bad(), contact("d", "A", Phone="030 1234567"))
    mapper.drain()
    assert sorted((each.source.id, each.pipeline) for each in mapper.commands) == [
        ("c", "contacts"),
        ("d", "contacts"),
        ("d", "strict"),
    ]
    (letter,) = mapper.letters
    assert (letter.code, letter.pipeline, letter.ref, letter.stage) == ("UNCONVERTIBLE", "strict", str(C), "mapper")
    assert letter.input == bad().encode()
    assert [(each.pipeline, each.outcome, each.source) for each in mapper.results] == [("strict", "rejected", C)]


def test_a_retry_is_no_repeat_once_the_mapping_is_put_right() -> None:
    mapper = Mapper(config(PHONE))
    mapper.written(A, HUB_A)
    mapper.change(bad())
    mapper.change(bad())
    assert len(mapper.letters) == 2
    mapper.records = Records(config(NUMBER), NAMES)
    mapper.change(bad())
    mapper.drain()
    assert {each.pipeline for each in mapper.commands if each.fields.get("phone") == "call me"} == {"strict"}
    commands = len(mapper.commands)
    mapper.change(bad())
    mapper.drain()
    assert len(mapper.commands) == commands


def test_a_child_that_was_held_is_not_written_in_an_older_version() -> None:
    mapper = Mapper(config(PHONE))
    mapper.change(contact("c", "B", 1, Phone="030 1234567"))
    mapper.drain()
    mapper.change(account("A"), bad(2))
    mapper.drain()
    mapper.written(A._replace(id="B"), HUB_A)
    assert [each.pipeline for each in mapper.commands if each.source == C] == []
