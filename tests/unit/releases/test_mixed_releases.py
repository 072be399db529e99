"""Stages of two releases side by side, either way round: `released` is what the last release wrote, byte for byte.

What this release writes must hold all of that, for the last one reads it; and what the last one wrote, this one reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.mapper.mapped import Mapped
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.request import Request
from syncline.contracts.result import Result
from syncline.timeline.held import Slot
from tests.unit.mapper.test_join import Tables, contact
from tests.unit.releases.flow import NAMES, Flow, Pair, Stages, flow

LAST: Flow = {
    name: [(key, value) for key, value in pairs]
    for name, pairs in json.loads((Path(__file__).parent / "released" / "flow.json").read_text()).items()
}
READERS: dict[str, Callable[[bytes], Any]] = {
    "changes": Change.decode,
    "mapped": Mapped.decode,
    "results": Result.decode,
    "requests": Request.decode,
    "dead-letters": DeadLetter.decode,
    "commands.hub": Command.decode,
}
TABLES = ("records", "synced", "held")


def lines(text: str) -> list[Any]:
    """A value is one or more lines of JSON, or an id by itself. The digest that names a command is read by nobody."""
    try:
        found = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return [text]
    for each in found:
        if isinstance(each, dict) and each.get("type") == "syncline.command.v1":
            del each["id"]
    return found


def keeps(before: Any, now: Any) -> bool:
    """Nothing is gone or different; there may be more fields."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(name in now and keeps(value, now[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(keeps, before, now))
    return type(before) is type(now) and before == now


def same(before: list[Pair], now: list[Pair]) -> None:
    assert [key for key, _ in now] == [key for key, _ in before]
    for (key, old), (_, new) in zip(before, now, strict=True):
        assert keeps(lines(old), lines(new)), f"{key}: the last release looks in\n{new}\nfor what it knows as\n{old}"


def restored(*tables: str) -> Stages:
    """This release on tables that the last one left."""
    found = Tables()
    for table in tables:
        found.rows[table] = {key.encode(): value.encode() for key, value in LAST[table]}
    return Stages(found)


@pytest.mark.parametrize("name", LAST)
def test_the_last_release_finds_what_it_knows_in_what_is_written_now(name: str) -> None:
    same(LAST[name], flow()[name])


def test_everything_is_compared() -> None:
    assert {*LAST} == {*READERS, *TABLES} == {*flow()}
    assert all(LAST.values())


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_what_the_last_release_wrote_and_passes_over_what_the_next_one_adds(name: str) -> None:
    for _, value in LAST[name]:
        if value == "{":
            continue
        read = READERS[name](value.encode())
        first, *rest = value.split("\n")
        more = json.dumps({"novelty": {"of": ["the next release"]}, **json.loads(first)})
        assert READERS[name]("\n".join([more, *rest]).encode()) == read


def test_what_the_last_release_had_mapped_is_joined() -> None:
    stages = restored()
    stages.take(stages.join, NAMES.mapped, LAST["mapped"])
    same(LAST["held"], stages.rows("held"))
    stages.take(stages.join, NAMES.results, LAST["results"])
    same(LAST["commands.hub"], stages.said[NAMES.commands("hub")])


def test_what_the_last_release_held_is_released() -> None:
    stages = restored("held")
    assert [slot for key, _ in LAST["held"] if (slot := Slot.parse(key.encode()))]
    stages.take(stages.join, NAMES.results, LAST["results"])
    commands = stages.said[NAMES.commands("hub")]
    assert commands
    same(LAST["commands.hub"][-len(commands) :], commands)
    same(LAST["synced"], stages.rows("synced"))


def test_what_the_last_release_knew_of_records_is_known() -> None:
    """Its events fall as repeats, and a change finds the affinity that the record had."""
    stages = restored("records")
    stages.take(stages.records, "t.changes.sf.Contact", LAST["changes"])
    assert not stages.said[NAMES.mapped]
    moved = contact("c3", "Z", 3)
    stages.take(stages.records, "t.changes.sf.Contact", [(moved.ref.id, moved.encode().decode())])
    assert {Mapped.decode(value.encode()).head.affinity for _, value in stages.said[NAMES.mapped]} == {"sf/Account/A"}


EDITS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("commands.hub", lambda document: document.pop("seen")),
    ("commands.hub", lambda document: document.update(version=1)),
    ("mapped", lambda document: document.update(waits=[[*wait, 1] for wait in document["waits"]] or [[]])),
    ("records", lambda document: document.update(affinity=None)),
    ("requests", lambda document: document.update(ref="other")),
]


@pytest.mark.parametrize(("name", "edit"), EDITS)
def test_a_break_is_found(name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    key, value = LAST[name][0]
    first, *rest = value.split("\n")
    document = json.loads(first)
    edit(document)
    with pytest.raises(AssertionError):
        same([(key, value)], [(key, "\n".join([json.dumps(document), *rest]))])
