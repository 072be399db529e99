"""Whatever people do on both sides, and wherever the writer dies, both sides end up equal and nothing is doubled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.writer.world import FIELDS, World

side = st.sampled_from(["sf", "hub"])
some_field = st.sampled_from(sorted(FIELDS))
some_value = st.sampled_from([None, "", "x", "y", " z ", "w"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), side, st.sampled_from(["Acme", "Beta", "Cora"]), some_value),
        st.tuples(st.just("edit"), side, st.integers(0, 5), some_field, some_value),
        st.tuples(st.just("capture"), side),
        st.tuples(st.just("map"), side),
        st.tuples(st.just("write"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("crash")),
        st.tuples(st.just("tick")),
        st.tuples(st.just("shuffle"), st.randoms(use_true_random=False)),
    ),
    max_size=60,
)


def play(world: World, history: list[Any]) -> None:
    for step in history:
        match step:
            case ("create", name, called, phone):
                system = world.system(name)
                system.create({"Name" if name == "sf" else "name": called, "Phone" if name == "sf" else "phone": phone})
            case ("edit", name, number, field, value):
                system = world.system(name)
                if number < len(system.rows) and not (field == "Name" and not (value or "").strip()):
                    values = {field if name == "sf" else FIELDS[field]: value}
                    system.save(f"{name}{number}", system.canonical("", values))
            case ("capture", name):
                world.capture(name)
            case ("map", name):
                world.map(name)
            case ("write", count, redeliver):
                world.write(count, redeliver=redeliver)
            case ("crash",):
                world.links.crash = True
            case ("tick",):
                world.clock.second += 1
            case ("shuffle", rng):
                rng.shuffle(world.commands)


def differences(world: World) -> list[str]:
    """Field by field over every pair, and every record that has no counterpart without being reported as ambiguous."""
    linked = {ref.id for ref, _ in world.links.stored}
    ambiguous = {letter.ref for letter in world.broker.letters}
    found = [
        f"{id} has no counterpart"
        for system in (world.sf, world.hub)
        for id in system.rows
        if id not in linked and f"{system.kind}/{id}" not in ambiguous
    ]
    if not ambiguous and len(world.sf.rows) != len(world.hub.rows):
        found.append(f"{len(world.sf.rows)} records on one side, {len(world.hub.rows)} on the other")
    for (ref, _), link in world.links.stored.items():
        if ref.system == "sf":
            left = world.sf.rows[ref.id].values
            right = world.hub.rows[link.target.ref.id].values
            right = world.sf.canonical("", {ours: right[theirs] for ours, theirs in FIELDS.items()})
            for ours in FIELDS:
                one, two = left[ours], right[ours]
                kept = ours == "Tier" and (one is None or two is None)  # an empty value never overwrites
                if one != two and not kept:
                    found.append(f"{ref.id}.{ours}: {one!r} and {two!r}")
    return found


def check(history: list[Any], conflict: str) -> None:
    world = World(conflict)
    play(world, history)
    world.links.crash = False
    world.settle()
    assert differences(world) == []
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
