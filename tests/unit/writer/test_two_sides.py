"""Whatever people do on both sides, and wherever the writer dies, both sides end up equal and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.mapper.transform import Transformed, Transformer
from services.writer import plan
from services.writer.merge import Merged, changed, merge
from services.writer.sinks import Present
from syncline.contracts.command import Command
from syncline.contracts.ref import Fields, Value
from tests.unit.writer.world import FIELDS, MemorySystem, World

side = st.sampled_from(["sf", "hub"])
edit = st.tuples(
    st.just("edit"),
    side,
    st.integers(0, 2),
    st.sampled_from(sorted(FIELDS)),
    st.sampled_from([None, "", "x", "y", " z ", "w"]),
)
flow = st.tuples(st.just("flow"), side, st.booleans())
write = st.tuples(st.just("write"), st.integers(1, 3), st.sampled_from([False, False, True]))
steps = st.lists(
    st.one_of(
        edit,
        edit,
        flow,
        flow,
        write,
        write,
        st.tuples(st.just("create"), side, st.sampled_from(["Acme", "Beta"]), st.sampled_from([None, "p", "q"])),
        st.tuples(st.just("crash")),
        st.tuples(st.just("late"), st.integers(0, 3)),
    ),
    max_size=50,
)


@dataclass
class History:
    """What people did: (record, field) to (when, value), the last on each side."""

    world: World
    edits: dict[tuple[str, str], tuple[int, Value]] = field(default_factory=dict)
    when: int = 0

    def edited(self, system: MemorySystem, id: str, values: Fields) -> None:
        self.when += 1
        stored = self.world.sf.canonical("", values)
        self.edits |= {(id, each): (self.when, value) for each, value in stored.items()}


def play(world: World, history: list[Any]) -> History:
    done = History(world)
    for n in range(2):
        world.sf.create({"Name": f"pair {n}", "Phone": "1", "Tier": "gold"})
    world.settle()
    for step in history:
        match step:
            case ("create", name, called, phone):
                system = world.system(name)
                values = {called_as(name, "Name"): called, called_as(name, "Phone"): phone}
                filled = {each: value for each, value in values.items() if value is not None}
                done.edited(system, system.create(values), filled)
            case ("edit", name, number, what, value):
                system = world.system(name)
                if number < len(system.records) and not (what == "Name" and not (value or "").strip()):
                    values = system.canonical("", {called_as(name, what): value})
                    id = f"{name}{number}"
                    if system.records[id].values[called_as(name, what)] != values[called_as(name, what)]:
                        world.system(name).save(id, values)
                        done.edited(system, id, values)
            case ("flow", name, tick):
                world.clock.second += tick
                world.capture(name)
                world.map(name)
            case ("write", count, redeliver):
                world.write(count, redeliver=redeliver)
            case ("crash",):
                world.links.crash = True
            case ("late", place):
                if place < len(world.commands):
                    world.commands.append(world.commands.pop(place))
    return done


FIRST = {"sf0", "sf1", "hub0", "hub1"}
"""The records that are linked before a history starts."""


def called_as(name: str, what: str) -> str:
    return what if name == "sf" else FIELDS[what]


def lost(done: History) -> list[str]:
    """Edits that are neither the end value, nor followed by a later one of the same field, nor among the conflicts."""
    world, found = done.world, []
    trim = world.sf.canonical
    told = {(c.field, trim("", {"_": v})["_"]) for c in world.conflicts.rows for v in (c.incoming, c.present)}
    for (ref, _), link in world.links.stored.items():
        if ref.system != "sf":
            continue
        for ours, theirs in FIELDS.items():
            end = world.sf.records[ref.id].values[ours]
            both = [(ref.id, ours), (link.target.ref.id, theirs)]
            last = max((done.edits[each] for each in both if each in done.edits), default=(0, end))[1]
            # An empty value never overwrites, nor does one of before the link: nobody can tell it from never filled.
            cleared = last is None and (ours != "Phone" or ref.id not in FIRST)
            if last != end and not cleared and not told & {(ours, last), (theirs, last)}:
                found.append(f"{ref.id}.{ours} ended as {end!r}, the last edit was {last!r}")
        for system, id in ((world.sf, ref.id), (world.hub, link.target.ref.id)):
            tier = called_as(system.kind.system, "Tier")
            if id in FIRST and system.records[id].values[tier] is None and done.edits.get((id, tier), (0, "gold"))[1]:
                found.append(f"{id}.{tier} was blanked")
    return found


def differences(world: World) -> list[str]:
    """Field by field over every pair, and every record that has no counterpart without being reported as ambiguous."""
    linked = {ref.id for ref, _ in world.links.stored}
    ambiguous = {letter.ref for letter in world.broker.letters}
    found = [
        f"{id} has no counterpart"
        for system in (world.sf, world.hub)
        for id in system.records
        if id not in linked and f"{system.kind}/{id}" not in ambiguous
    ]
    if not ambiguous and len(world.sf.records) != len(world.hub.records):
        found.append(f"{len(world.sf.records)} records on one side, {len(world.hub.records)} on the other")
    for (ref, _), link in world.links.stored.items():
        if ref.system == "sf":
            left = world.sf.records[ref.id].values
            right = world.hub.records[link.target.ref.id].values
            right = world.sf.canonical("", {ours: right[theirs] for ours, theirs in FIELDS.items()})
            for ours in FIELDS:
                one, two = left[ours], right[ours]
                kept = ours == "Tier" and (one is None or two is None)  # an empty value never overwrites
                if one != two and not kept:
                    found.append(f"{ref.id}.{ours}: {one!r} and {two!r}")
    return found


def check(history: list[Any], conflict: str) -> None:
    world = World(conflict)
    done = play(world, history)
    world.links.crash = False
    world.settle()
    assert differences(world) == []
    assert lost(done) == []
    assert [letter for letter in world.broker.letters if letter.code != "AMBIGUOUS_MATCH"] == []
    before = world.sf.writes + world.hub.writes
    for name in ("sf", "hub"):
        world.system(name).captured.clear()
        world.capture(name)
        world.map(name)
    world.write(len(world.commands))
    assert world.sf.writes + world.hub.writes == before, "unchanged data was written again"


@pytest.mark.parametrize("conflict", ["sf", "hub", "latest"])
def test_both_sides_end_up_equal(conflict: str) -> None:
    settings(max_examples=400, deadline=None)(given(steps)(lambda history: check(history, conflict)))()


def _without_version_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "news", lambda command, link: changed(command, link.source.known, link.target.known))


def _without_present_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(command: Command, wanted: Fields, agreed: Fields, present: Present) -> Merged:
        return merge(command, wanted, agreed, replace(present, values={**present.values, **agreed}))

    monkeypatch.setattr(plan, "merge", trusting)


def _with_absent_as_null(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Transformer.apply

    def blanking(self: Transformer, record: Fields) -> Transformed:
        made = apply(self, record)
        sources = {target: source for target, source, *_ in self._mapped}
        made.fields = {**dict.fromkeys(sources), **made.fields}
        made.inputs = {**{target: [source] for target, source in sources.items()}, **made.inputs}
        return made

    monkeypatch.setattr(Transformer, "apply", blanking)


OVERTAKEN = [
    *(("edit", "sf", 0, "Phone", "x"), ("flow", "sf", True), ("edit", "sf", 0, "Phone", "y"), ("flow", "sf", True)),
    *(("late", 0), ("write", 1, False), ("write", 1, False)),
]
BOTH_EDITED = [("edit", "sf", 0, "Phone", "y"), ("edit", "hub", 0, "Phone", "x"), ("flow", "sf", True)]
EMPTIED = [("edit", "sf", 0, "Tier", None), ("flow", "sf", True), ("write", 1, False)]


@pytest.mark.parametrize(
    ("broken", "history"),
    [(_without_version_guard, OVERTAKEN), (_without_present_read, BOTH_EDITED), (_with_absent_as_null, EMPTIED)],
)
def test_the_test_sees_a_broken_merge(
    broken: Callable[[pytest.MonkeyPatch], None], history: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(history, "sf")
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        check(history, "sf")
