"""Two records that turn out to be one, each with a value of its own: until the losing side has taken over the winner's,
nothing is agreed, and whatever is typed meanwhile is a conflict and not the first value that there is."""

from __future__ import annotations

import pytest

from syncline.contracts.ref import Value
from tests.unit.writer.world import World, config


def contested(policy: str) -> World:
    """The company has met the Account, and the Account's value won; its own event has not come."""
    world = World(config(policy))
    world.sf.create("Account", {"Name": "Acme", "Phone": "1"})
    world.hub.create("Account", {"name": "Acme", "phone": "2"})
    flow(world, "hub")
    world.write(1)
    [link] = world.links.stored.values()
    assert {side.contested for side in (link.source, link.target) if side.ref.system == "sf"} == {("Phone",)}
    assert [(row.incoming, row.present, row.agreed) for row in world.conflicts.rows] == [("2", "1", None)]
    return world


def flow(world: World, name: str) -> None:
    world.clock.second += 5
    world.capture(name)
    world.map(name)


def ends(world: World) -> tuple[Value, Value]:
    return world.sf.records["Account", "Account0"].values["Phone"], world.hub.records["company", "company0"].values[
        "phone"
    ]


def test_the_winner_is_taken_over_and_nothing_is_contested_any_more() -> None:
    world = contested("sf")
    world.settle()
    assert ends(world) == ("1", "1")
    [link] = world.links.stored.values()
    assert (link.source.contested, link.target.contested) == ((), ())
    assert len(world.conflicts.rows) == 1


@pytest.mark.parametrize("typed", [None, "3"])
def test_what_the_losing_side_types_meanwhile_is_a_conflict(typed: Value) -> None:
    world = contested("sf")
    world.hub.save("company", "company0", {"phone": typed})
    flow(world, "hub")
    world.write(1)
    assert [(row.incoming, row.present) for row in world.conflicts.rows] == [("2", "1"), (typed, "1")]
    world.settle()
    assert ends(world) == ("1", "1")


def test_an_edit_of_another_field_does_not_bring_it_up_again() -> None:
    world = contested("sf")
    world.hub.save("company", "company0", {"tier": "gold"})
    flow(world, "hub")
    world.write(1)
    assert len(world.conflicts.rows) == 1
    world.settle()
    assert ends(world) == ("1", "1")


def test_the_winning_side_may_empty_it_meanwhile() -> None:
    world = contested("sf")
    world.sf.save("Account", "Account0", {"Phone": None})
    world.hub.save("company", "company0", {"phone": "3"})
    flow(world, "hub")
    world.write(1)
    assert [(row.incoming, row.present) for row in world.conflicts.rows] == [("2", "1"), ("3", None)]
    world.settle()
    assert ends(world) == (None, None)
