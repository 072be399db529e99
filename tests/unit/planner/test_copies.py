"""What a plan has changed is read back as if it were so, and what is stored stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from services.planner.links import PlannedLinks
from services.planner.price import Free
from services.planner.sink import PlannedSink
from services.planner.store import NoRows, Overlay, Scratch, Stored
from services.writer.sinks import Saved, Write
from syncline.contracts.errors import Transient
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from tests.unit.writer.world import Clock, MemoryLinks, MemorySystem

ACCOUNT, COMPANY, OTHER = Ref("sf", "Account", "a"), Ref("hub", "company", "c"), Ref("hub", "company", "d")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path / "scratch")
    yield made
    made.close()


def test_rows_that_are_changed_lie_over_those_that_are_stored(scratch: Scratch) -> None:
    stored = Stored(scratch)
    stored.add(
        "held", [(b"p\0a", b"1", 7), (b"p\0b", b"2", 7), (b"q\0a", b"3", 7), (b"p\0z", b"4", 7), (b"p\0z", None, 8)]
    )
    one, another = Overlay(stored, scratch, "one"), Overlay(stored, scratch, "another")
    one.apply({"held": {b"p\0a": None, b"p\0c": b"new", b"q\0a": b"changed"}, "synced": {b"p\0d": b"x"}})
    assert [one.get("held", key) for key in (b"p\0a", b"p\0b", b"p\0c", b"q\0a")] == [None, b"2", b"new", b"changed"]
    assert one.scan("held", b"p\0") == [(b"p\0b", b"2"), (b"p\0c", b"new")]
    assert list(one.own("held")) == [(b"p\0c", b"new"), (b"q\0a", b"changed")]
    assert another.scan("held", b"p\0") == list(stored.scan("held", b"p\0")) == [(b"p\0a", b"1"), (b"p\0b", b"2")]
    assert next(stored.rows("held")) == (b"p\0a", b"1", 7)


@pytest.fixture
def hub() -> MemorySystem:
    made = MemorySystem("hub", Clock())
    made.create("Account", {"name": "Acme", "phone": "1"})
    return made


@pytest.fixture
def sink(scratch: Scratch, hub: MemorySystem) -> PlannedSink:
    return PlannedSink("hub", hub, Overlay(NoRows(), scratch, "one"), count(1), Free(), lambda: hub.clock.now)


async def test_a_record_that_would_be_written_is_read_back_as_written(sink: PlannedSink, hub: MemorySystem) -> None:
    [before] = (await sink.read("company", ["company0"], ["name"])).values()
    [saved] = await sink.write("company", [Write("company0", {"phone": "2"})])
    assert isinstance(saved, Saved)
    assert saved.version > before.version
    [after] = (await sink.read("company", ["company0"], ["phone"])).values()
    assert (after.values["phone"], after.version) == ("2", saved.version)
    [[matched]] = await sink.match("company", ("name",), [("Acme",)], ["phone"])
    assert matched.values["phone"] == "2"
    assert hub.records["company", "company0"].values["phone"] == "1"


async def test_a_record_that_would_be_made_is_there_with_what_it_would_hold(sink: PlannedSink) -> None:
    named, unnamed = await sink.write(
        "company", [Write(None, {"name": "B"}, ("sf_id", "a")), Write(None, {"name": "C"})]
    )
    assert isinstance(named, Saved)
    assert isinstance(unnamed, Saved)
    assert (named.id, unnamed.id, named.created) == ("new-a", "new-1", True)
    found = await sink.read("company", ["new-a", "new-1", "new-z"], ["name", "phone", "sf_id"])
    assert {id: each.values for id, each in found.items()} == {
        "new-a": {"name": "B", "phone": None, "sf_id": "a"},
        "new-1": {"name": "C", "phone": None, "sf_id": None},
    }


async def test_a_record_that_would_be_deleted_is_gone(sink: PlannedSink, hub: MemorySystem) -> None:
    await sink.delete("company", ["company0"])
    assert await sink.read("company", ["company0"], ["name"]) == {}
    assert await sink.match("company", ("name",), [("Acme",)], ["name"]) == [[]]
    assert sink.touched() == {"company": ["company0"]}
    assert sink.touched() == {}
    assert not hub.records["company", "company0"].gone


async def test_two_writes_of_one_record_in_a_batch_come_one_after_the_other(sink: PlannedSink) -> None:
    _, second = await sink.write("company", [Write("company0", {"phone": "2"}), Write("company0", {"name": "B"})])
    assert isinstance(second, Transient)


async def test_links_are_taken_as_the_state_schema_takes_them(scratch: Scratch) -> None:
    stored = MemoryLinks()
    planned = PlannedLinks(stored, Overlay(NoRows(), scratch, "one"))
    link = Link(Side(ACCOUNT, "1", {"Name": "x"}), Side(COMPANY, "2", {"name": "x"}, ("phone",)))
    assert await planned.save([link, link]) == [True, False]
    seen = [(ACCOUNT, COMPANY.kind), (COMPANY, ACCOUNT.kind)]
    found = await planned.find(seen)
    assert found[seen[0]].target == link.target
    assert found[seen[1]].target == link.source
    taken = Link(Side(ACCOUNT._replace(id="b"), "1", {}), Side(COMPANY, "2", {}))
    assert await planned.save([taken]) == [False]
    # A pair that begins again with another record leaves the former one free.
    revived = Link(link.source, Side(OTHER, "3", {}), revision=found[seen[0]].revision)
    assert await planned.save([revived]) == [True]
    assert await planned.save([revived]) == [False]
    assert set(await planned.find([*seen, (OTHER, Object(*ACCOUNT.kind))])) == {seen[0], (OTHER, ACCOUNT.kind)}
    assert stored.stored == {}
