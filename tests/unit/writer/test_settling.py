"""Two pipelines whose transforms lose something settle and stop writing; a pair that never can is named and paused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.writer.plan import BOUNCES
from syncline.contracts.ref import Fields
from tests.unit.writer.world import Clock, MemorySystem, World, config

LOSSY: dict[str, dict[str, Any]] = {
    "case": {
        "accounts": {"name": {"from": "Name", "transform": ["upper"]}},
        "companies": {"Name": {"from": "name", "transform": ["lower"]}},
    },
    "blanks": {
        "accounts": {"name": {"from": "Name"}, "phone": {"from": "Phone", "transform": ["trim"], "on_empty": "clear"}},
        "companies": {"Name": "name", "Phone": {"from": "phone", "on_empty": "clear"}},
    },
    "one way only": {
        "accounts": {"name": {"from": "Name", "transform": ["upper"]}},
        "companies": {"Name": {"from": "name"}},
    },
    "length": {
        "accounts": {"name": {"from": "Name", "transform": [{"truncate": 3}]}, "phone": "Phone"},
        "companies": {"Name": "name", "Phone": {"from": "phone", "transform": [{"truncate": 1}]}},
    },
    "a form of its own": {
        "accounts": {
            "name": "Name",
            "phone": {"from": "Phone", "transform": [{"phone": "DE"}, {"default": None}], "on_empty": "clear"},
        },
        "companies": {"Name": "name", "Phone": {"from": "phone", "transform": ["number", {"default": "none"}]}},
    },
    "two into one": {
        "accounts": {"name": {"from": ["Name", "Phone"], "transform": ["concat"]}, "phone": "Phone"},
        "companies": {"Name": {"from": "name", "transform": [{"split": {"by": " ", "at": 0}}]}, "Phone": "phone"},
    },
    "a table and a condition": {
        "accounts": {
            "name": "Name",
            "phone": {"from": "Phone", "transform": [{"lookup": {"values": {"3": "three"}, "default": "other"}}]},
        },
        "companies": {"Name": "name", "Phone": {"from": "phone", "when": {"phone": "three"}, "otherwise": "0"}},
    },
}


@pytest.mark.parametrize("loss", LOSSY)
def test_pipelines_that_lose_something_settle(loss: str) -> None:
    world = World(config(**LOSSY[loss]))
    world.sf.create("Account", {"Name": "Acme Ltd", "Phone": " 1 "})
    world.hub.create("Account", {"name": "Beta Ltd", "phone": " 2 "})
    edits: list[tuple[str, Fields]] = [("sf", {"Phone": " 3"}), ("hub", {"phone": "4  "}), ("sf", {"Phone": ""})]
    for name, values in edits:
        assert world.settle() < 6
        system = world.system(name)
        system.save(system.object("Account"), system.live("Account")[0], system.canonical("", values))
    world.settle()
    before = world.sf.writes, world.hub.writes
    world.settle()
    assert (world.sf.writes, world.hub.writes) == before
    assert not any(link.paused for link in world.links.stored.values())


STEPS = ["trim", "upper", "lower", "title", "collapse", {"truncate": 3}, {"split": {"by": " ", "at": -1}}, "number"]
STEPS += [{"phone": "DE"}, {"default": "x"}, {"lookup": {"values": {"x": "y", "y": "x"}, "default": "z"}}]
TRANSFORMS = st.lists(st.sampled_from(STEPS), max_size=3).map(lambda steps: [*steps, {"default": "none"}])


@settings(max_examples=25)
@given(TRANSFORMS, TRANSFORMS, st.sampled_from(["Ab  c d", "030 1234567", " 7 ", "x", "y"]))
def test_whatever_transforms_two_pipelines_have_they_settle_or_the_pair_is_paused(
    there: list[Any], back: list[Any], value: str
) -> None:
    fields = {"Name": "name", "Phone": {"from": "phone", "transform": back, "on_empty": "clear"}}
    world = World(
        config(
            accounts={"name": "Name", "phone": {"from": "Phone", "transform": there, "on_empty": "clear"}},
            companies=fields,
        )
    )
    world.sf.create("Account", {"Name": "Acme", "Phone": value})
    world.settle(rounds=3 * BOUNCES)
    world.hub.save("company", world.hub.live("Account")[0], {"phone": value[::-1]})
    world.settle(rounds=3 * BOUNCES)
    before = world.sf.writes, world.hub.writes
    world.settle()
    assert (world.sf.writes, world.hub.writes) == before


class Stubborn(MemorySystem):
    """A system that has its own idea of every name, as a trigger or a workflow rule has."""

    def save(self, name: str, id: str, values: Fields, *, gone: bool = False) -> str:
        own = str.lower if self.coarse else str.upper
        kept = {each: own(value) if isinstance(value, str) else value for each, value in values.items()}
        return super().save(name, id, kept, gone=gone)


def test_a_pair_that_cannot_settle_is_paused_and_named() -> None:
    clock = Clock()
    world = World(clock=clock)
    for name in ("sf", "hub"):
        system = world.system(name)
        system.__class__ = Stubborn
    world.sf.create("Account", {"Name": "Acme", "Tier": "gold"})
    world.settle(rounds=3 * BOUNCES)
    assert [link.paused for link in world.links.stored.values()] == [True]
    paused = [conflict for conflict in world.conflicts.rows if conflict.decided == "paused"]
    assert len(paused) == 1
    assert "name" in paused[0].field.lower()
    writes = world.sf.writes + world.hub.writes
    world.sf.save("Account", "Account0", {"Name": "Other"})
    world.settle()
    assert world.sf.writes + world.hub.writes == writes
    assert "does not settle" in str(world.results[-1].reason)


def test_the_others_go_on_while_one_pair_is_paused() -> None:
    world = World()
    world.sf.create("Account", {"Name": "Acme"})
    world.sf.create("Account", {"Name": "Beta"})
    world.settle()
    world.links.stored[1] = replace(world.links.stored[1], paused=True)
    for n in range(2):
        world.sf.save("Account", f"Account{n}", {"Phone": "9"})
    world.settle()
    assert [world.hub.records["company", f"company{n}"].values["phone"] for n in range(2)] == [None, "9"]
