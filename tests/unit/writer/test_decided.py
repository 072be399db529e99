"""After a person's decision on a field the one who lost is not heard again, whatever still comes from that side."""

from __future__ import annotations

import pytest

from tests.unit.writer.test_review import decide, disputed, phones
from tests.unit.writer.world import World


def told_again(world: World, name: str) -> None:
    """The record of that side once more, and nothing else until the writer is done with it."""
    kind, id = ("Account", "Account0") if name == "sf" else ("company", "company0")
    others, world.events = world.events, {"sf": [], "hub": []}
    world.events[name].append(world.system(name).event((kind, id), "snapshot"))
    world.map(name)
    world.write(len(world.commands))
    world.events = others


@pytest.mark.parametrize("winner", ["sf", "hub"])
@pytest.mark.parametrize("first", ["sf", "hub"])
def test_the_losers_record_may_come_before_the_winners(winner: str, first: str) -> None:
    world, conflict = disputed()
    decide(world, conflict, winner)
    recorded = list(world.conflicts.rows)
    told_again(world, first)
    world.settle()
    assert phones(world) == [winner, winner]
    assert world.conflicts.rows == recorded


@pytest.mark.parametrize("winner", ["sf", "hub"])
def test_what_the_loser_typed_while_it_waited_is_not_heard_either(winner: str) -> None:
    world, conflict = disputed()
    loser = "hub" if winner == "sf" else "sf"
    kind, id, name = ("Account", "Account0", "Phone") if loser == "sf" else ("company", "company0", "phone")
    world.system(loser).save(kind, id, {name: "lost"})
    world.settle()
    decide(world, conflict, winner)
    recorded = list(world.conflicts.rows)
    told_again(world, loser)
    world.settle()
    assert phones(world) == [winner, winner]
    assert world.conflicts.rows == recorded
