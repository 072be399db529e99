"""A field under review is written by nobody until a person decides, and then by whom they chose."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from syncline.contracts.conflict import Conflict
from syncline.contracts.ref import Fields, Value
from syncline.state.reviews import resolved
from tests.unit.writer.world import World, config


def disputed() -> tuple[World, Conflict]:
    world = World(config("review"))
    world.sf.create("Account", {"Name": "Acme", "Phone": "1", "Tier": "gold"})
    world.settle()
    world.sf.save("Account", "Account0", {"Phone": "sf", "Tier": "silver"})
    world.hub.save("company", "company0", {"phone": "hub"})
    world.settle()
    return world, next(each for each in world.conflicts.rows if each.decided == "review")


def phones(world: World) -> list[Value]:
    sf, hub = world.sf.records["Account", "Account0"], world.hub.records["company", "company0"]
    return [sf.values["Phone"], hub.values["phone"]]


def decide(world: World, conflict: Conflict, winner: str) -> None:
    """As the command line does: change the link, and ask for the winner's record."""
    link = world.links.of(conflict.source, conflict.target.kind)
    assert link is not None
    assert asyncio.run(world.links.save([resolved(link, conflict, winner)])) == [True]
    world.clock.second += 5
    world._answer(conflict.source if winner == conflict.source.system else conflict.target)


def test_the_field_waits_and_the_others_do_not() -> None:
    world, conflict = disputed()
    assert phones(world) == ["sf", "hub"]
    assert world.hub.records["company", "company0"].values["tier"] == "silver"
    assert {conflict.incoming, conflict.present} == {"sf", "hub"}
    world.sf.save("Account", "Account0", {"Phone": "sf again"})
    world.settle()
    assert phones(world) == ["sf again", "hub"]


@pytest.mark.parametrize("winner", ["sf", "hub"])
def test_the_side_that_a_person_chose_wins(winner: str) -> None:
    world, conflict = disputed()
    decide(world, conflict, winner)
    world.settle()
    assert phones(world) == [winner, winner]
    world.hub.save("company", "company0", {"phone": "later"})
    world.settle()
    assert phones(world) == ["later", "later"]


@pytest.mark.parametrize("winner", ["sf", "hub"])
def test_what_was_typed_while_it_waited_counts(winner: str) -> None:
    world, conflict = disputed()
    newer: dict[str, tuple[str, str, Fields]] = {
        "sf": ("Account", "Account0", {"Phone": "newer"}),
        "hub": ("company", "company0", {"phone": "newer"}),
    }
    world.system(winner).save(*newer[winner])
    world.settle()
    decide(world, conflict, winner)
    world.settle()
    assert phones(world) == ["newer", "newer"]


def test_a_paused_pair_goes_on() -> None:
    world, conflict = disputed()
    link = world.links.of(conflict.source, conflict.target.kind)
    assert link is not None
    after = resolved(replace(link, paused=True, bounces=20), replace(conflict, decided="paused"), "sf")
    assert (after.paused, after.bounces) == (False, 0)
