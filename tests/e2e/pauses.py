"""How long each partition of a stage stood still while it was behind, by what its group has committed."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from syncline.local.demo.run import PATIENCE, Story
from syncline.local.system import SERVICES
from syncline.runtime.admin import asking
from syncline.runtime.lag import committed
from syncline.runtime.scan import Offsets, reader, stream

TICK = 0.1
"""Seconds between two looks; a pause is known to two of these."""
GROUP = 2
"""What a record of a group, and not of an offset, has as its key's first number."""


class Stood(NamedTuple):
    """seconds: so long `place` did not move; ended: when it did again, by the monotonic clock."""

    seconds: float
    place: str
    ended: float


@dataclass
class Stage:
    """since: where each place is, and when it last moved or had nothing to do."""

    group: str
    places: list[TopicPartition]
    since: dict[str, tuple[int, float]] = field(default_factory=dict)
    stood: list[Stood] = field(default_factory=list)

    def see(self, place: str, at: int, behind: bool, now: float) -> None:
        was, since = self.since.get(place, (at, now))
        if at != was or not behind:
            self.stood.append(Stood(now - since, place, now))
            since = now
        self.since[place] = (at, since)

    def longest(self, began: float) -> Stood:
        """Of those that ended since then, or last."""
        now = time.monotonic()
        lasting = (Stood(now - since, place, now) for place, (_, since) in self.since.items())
        return max(*(each for each in self.stood if each.ended >= began), *lasting)


@dataclass
class Pauses:
    """A stage's places are the partitions that its group reads. A poller's are its objects too, which people edit all
    the time: one moves when an event of it is published. longest, rebalances: by service and cause."""

    told: Story
    consumer: Any
    admin: Any
    stages: dict[str, Stage]
    longest: dict[tuple[str, str], Stood] = field(default_factory=dict)
    rebalances: dict[tuple[str, str], int] = field(default_factory=dict)
    looks: int = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(TICK)

    async def look(self) -> None:
        names, config = self.told.system.names, self.told.system.config
        every = [place for stage in self.stages.values() for place in stage.places]
        # Ends first: who has come to what was the end a moment ago was not behind.
        ends: Offsets = await self.consumer.end_offsets(every)
        done = await asyncio.gather(*(committed(self.admin, stage.group) for stage in self.stages.values()))
        now = time.monotonic()
        for stage, offsets in zip(self.stages.values(), done, strict=True):
            for place in stage.places:
                at = offsets[place].offset if place in offsets else 0
                stage.see(f"{place.topic}/{place.partition}", at, ends[place] > at, now)
        for kind in config.polled:
            count = sum(end for place, end in ends.items() if place.topic == names.changes(kind))
            self.stages["poller"].see(str(kind), count, True, now)
        self.looks += 1

    @asynccontextmanager
    async def during(self, service: str, cause: str, replicas: int) -> AsyncIterator[None]:
        """What is done in the block is the cause; it ends when so many replicas have all the work in hand, and have
        done what was there by then."""
        stage, began, before = self.stages[service], time.monotonic(), await self.generation(service)
        yield
        await self._until(lambda: self._in_hand(service, replicas), f"{replicas} of {service} to have the work in hand")
        ends: Offsets = await self.consumer.end_offsets(stage.places)
        objects = set(map(str, self.told.system.config.polled))
        moved = {place: at for place, (at, _) in stage.since.items() if place in objects}

        async def through() -> bool:
            offsets = await committed(self.admin, stage.group)
            done = all(offsets[place].offset >= end for place, end in ends.items() if end)
            return done and all(stage.since[place][0] > at for place, at in moved.items())

        await self._until(through, f"{service} to have caught up")
        looks = self.looks
        await self.told.until(lambda: self.looks > looks + 1, "a look at it")
        self.longest[service, cause] = stage.longest(began)
        self.rebalances[service, cause] = await self.generation(service) - before

    async def generation(self, service: str) -> int:
        """Of its group: one more after each rebalance, as the broker itself has noted."""
        group, topic, newest = self.stages[service].group, "__consumer_offsets", 0
        [described] = await self.admin.describe_topics([topic])
        numbers = range(len(described["partitions"]))
        async with reader(self.told.system.stack.kafka_address) as consumer:
            async for records in stream(consumer, {topic: numbers}, progress=lambda _, __: None):
                for record in records:
                    kind, length = struct.unpack_from(">hh", record.key)
                    if kind == GROUP and record.value and record.key[4 : 4 + length].decode() == group:
                        [protocol] = struct.unpack_from(">h", record.value, 2)
                        [generation] = struct.unpack_from(">i", record.value, 4 + protocol)
                        newest = max(newest, generation)
        return newest

    async def _in_hand(self, service: str, replicas: int) -> bool:
        [reply] = await self.admin.describe_consumer_groups([self.stages[service].group])
        [(_, _, state, _, _, members, *_)] = reply.groups
        if state != "Stable" or len(members) != replicas:
            return False
        if service != "poller":
            return True
        state = self.told.state
        alive = await state.fetchval("SELECT count(*) FROM syncline.members WHERE expires_at > clock_timestamp()")
        held = await state.fetchval(
            "SELECT count(*) FROM syncline.leases JOIN syncline.members ON holder = instance"
            " WHERE least(leases.expires_at, members.expires_at) > clock_timestamp()"
        )
        return bool((alive, held) == (replicas, len(self.told.system.config.polled)))

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not await condition():
            assert time.monotonic() < until, f"waited {PATIENCE:.0f} s for {what}"
            await self.told.until(lambda: True, "")  # fails when a service has ended
            await asyncio.sleep(TICK)


@asynccontextmanager
async def measured(told: Story) -> AsyncIterator[Pauses]:
    names, config, partitions = told.system.names, told.system.config, told.system.partitions
    groups = {
        names.poller: [names.requests],
        names.mapper: [*map(names.changes, config.sources), names.mapped, names.results],
        names.writer: [*map(names.commands, config.targets)],
    }
    stages = {
        service: Stage(group, [TopicPartition(topic, number) for topic in topics for number in range(partitions)])
        for service, (group, topics) in zip(SERVICES, groups.items(), strict=True)
    }
    address = told.system.stack.kafka_address
    async with reader(address) as consumer, asking(address) as admin:
        pauses = Pauses(told, consumer, admin, stages)
        looking = asyncio.create_task(pauses.run())
        try:
            yield pauses
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
