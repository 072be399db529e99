"""Whatever happens in the org and to the poller, the last event of a record is the record as it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.poller.cursor import Position
from syncline.contracts.change import Change
from tests.unit.poller.org import World

OVERLAP = 60

steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3), st.sampled_from("abc")),
    st.tuples(st.just("late"), st.integers(0, 3), st.integers(1, OVERLAP)),
    st.tuples(st.just("delete"), st.integers(0, 3), st.none()),
    st.tuples(st.just("tick"), st.sampled_from([0.4, 1, 2, 30, 61, 600]), st.none()),
    st.tuples(st.just("poll"), st.none(), st.none()),
    st.tuples(st.just("dead locator"), st.none(), st.none()),
    st.tuples(st.just("broken off"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


class Broker:
    """Takes what is published; keeps the position as the state schema does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = world.source(overlap=OVERLAP)
        self.position: dict[str, Any] | None = None
        self.last: dict[str, Change] = {}
        self.ids: Counter[str] = Counter()
        self.repeats_allowed = False

    async def poll(self, pages: int | None = None, *, published: bool = True) -> None:
        """`pages`: crash at this page; `published`: after it was published but before its position was stored."""
        stream = self.source.pages(self.position)
        count = 0
        async for page in stream:
            last_one = count == pages
            if not last_one or published:
                self.publish(page.changes)
            if last_one:
                await stream.aclose()
                return
            if self.position:
                assert Position.read(page.position) >= Position.read(self.position)
            self.position = page.position
            count += 1

    def publish(self, changes: list[Change]) -> None:
        for change in changes:
            known = self.last.get(change.ref.id)
            # The mapper's rule: what is older than what it knows is dropped.
            if known is None or change.version >= known.version:
                self.last[change.ref.id] = change
            self.ids[change.id] += 1


async def play(script: list[tuple[str, Any, Any]]) -> Broker:
    world = World(page=2)
    broker = Broker(world)
    ids = [world.write(f"Company {number}") for number in range(4)]
    world.tick(1)
    for step, which, what in script:
        match step:
            case "write":
                world.write(what, id=ids[which])
            case "late":
                # A row is locked from its stamp to its commit, so no stamp is older than the one before it.
                stamp = world.stored()[ids[which]]["SystemModstamp"]
                age = (world.now.replace(microsecond=0) - world.now.fromisoformat(stamp)).total_seconds()
                world.write("late", id=ids[which], late=max(0, min(what, age)))
            case "delete":
                world.write("gone", id=ids[which], deleted=True)
            case "tick":
                world.tick(which)
            case "poll":
                await broker.poll()
            case "dead locator":
                world.dead_locators = 1
            case "broken off":
                broker.repeats_allowed = True
                await broker.poll(which, published=what)
            case "restart":
                broker.repeats_allowed = True
                broker.source = world.source(overlap=OVERLAP)
    world.tick(10)
    await broker.poll()
    return broker


@settings(max_examples=150)
@given(st.lists(steps, max_size=25))
def test_after_the_last_poll_every_record_is_known_as_it_is(script: list[tuple[str, Any, Any]]) -> None:
    broker = asyncio.run(play(script))
    for key, record in broker.world.stored().items():
        change = broker.last[key]
        assert change.version == record["SystemModstamp"].replace("+0000", "Z")
        assert change.op == "delete" if record["IsDeleted"] else change.fields["Name"] == record["Name"]
    if not broker.repeats_allowed:
        assert set(broker.ids.values()) <= {1}
