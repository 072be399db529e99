"""How far consumer groups are behind, by what they have committed; no service is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from syncline.runtime.admin import asking
from syncline.runtime.scan import Offsets, reader
from syncline.runtime.security import Address

FOUND = 15.0
"""Seconds within which a broker finds who coordinates a group."""

LOOK = 0.2
"""Seconds between two looks at what a group has committed."""


Held = Mapping[str, frozenset[TopicPartition]]


@dataclass(frozen=True, slots=True)
class Group:
    """members: consumers that are in it now; lag: topic to messages that are not done yet; held: of each consumer, by
    its client id, the partitions that were assigned to it; idle: how many got none, for there were none left."""

    name: str
    members: int
    lag: dict[str, int]
    held: Held = field(default_factory=dict)
    idle: int = 0

    @property
    def total(self) -> int:
        return sum(self.lag.values())


async def groups(address: Address, wanted: Mapping[str, Sequence[str]], *, partitions: int) -> list[Group]:
    """By name, each with the topics that it reads. Raises Transient."""
    async with watching(address, wanted, partitions=partitions) as watch:
        return await watch.groups()


class Watch:
    """Looks at these groups again and again. A partition in which a group has committed nothing counts from its first
    message, where the services would begin."""

    def __init__(self, consumer: Any, admin: Any, wanted: Mapping[str, Sequence[str]], partitions: int) -> None:
        self._consumer = consumer
        self._admin = admin
        self._wanted = wanted
        self._partitions = partitions

    async def groups(self) -> list[Group]:
        """Raises Transient."""
        places = self._places(sorted({topic for each in self._wanted.values() for topic in each}))
        firsts: Offsets = await self._consumer.beginning_offsets(places)
        asked = await asyncio.gather(*(_group(self._admin, name) for name in self._wanted))
        ends: Offsets = await self._consumer.end_offsets(places)  # last: a lag is rather too large than below zero
        return [
            Group(
                name,
                len(held),
                {topic: self._behind(topic, committed, firsts, ends) for topic in self._wanted[name]},
                dict(held),
                idle=sum(not partitions for _, partitions in held) if stable else 0,
            )
            for name, (held, stable, committed) in zip(self._wanted, asked, strict=True)
        ]

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """Where each partition ends now. Raises Transient."""
        ends: Offsets = await self._consumer.end_offsets(self._places(topics))
        return ends

    async def reached(self, name: str, ends: Offsets) -> bool:
        """Whether the group has done everything up to there. Raises Transient."""
        firsts: Offsets = await self._consumer.beginning_offsets(list(ends))
        _, _, committed = await _group(self._admin, name)
        return all(end <= max(firsts[tp], committed.get(tp, 0)) for tp, end in ends.items())

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in range(self._partitions)]

    def _behind(self, topic: str, committed: Mapping[TopicPartition, int], firsts: Offsets, ends: Offsets) -> int:
        return sum(max(0, ends[tp] - max(firsts[tp], committed.get(tp, 0))) for tp in self._places([topic]))


@asynccontextmanager
async def watching(address: Address, wanted: Mapping[str, Sequence[str]], *, partitions: int) -> AsyncIterator[Watch]:
    """`wanted`: group to the topics that it reads. Raises Transient, also inside."""
    async with reader(address) as consumer, asking(address) as admin:
        yield Watch(consumer, admin, wanted, partitions)


Stage = tuple[str, Sequence[str]]
"""A consumer group, and topics that it reads."""


async def worked_off(address: Address, stages: Sequence[Stage], *, partitions: int, within: float) -> bool:
    """Wait until each group has done what was on its topics when its turn came, one stage after the other: what a stage
    makes of that is on the next one's topics by then. False when `within` seconds did not suffice. Raises Transient."""
    until = time.monotonic() + within
    async with watching(address, {}, partitions=partitions) as watch:
        for name, topics in stages:
            ends = await watch.ends(topics)
            while not await watch.reached(name, ends):
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(LOOK)
    return True


async def committed(admin: Any, name: str) -> Mapping[TopicPartition, Any]:
    """Where a group stands, partition to (offset, metadata); nothing of one that there is not. Raises KafkaError."""
    until = time.monotonic() + FOUND
    while True:
        try:
            offsets: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(name)
            return offsets
        except KafkaError as error:  # a broker that never had a group makes the topic of their offsets first
            if not error.retriable or time.monotonic() > until:
                raise
            await asyncio.sleep(0.2)


async def _group(
    admin: Any, name: str
) -> tuple[list[tuple[str, frozenset[TopicPartition]]], bool, Mapping[TopicPartition, int]]:
    """Each member's client id with what it has, whether that is settled, and what is committed."""
    offsets = await committed(admin, name)
    [reply] = await admin.describe_consumer_groups([name])
    [(_, _, state, _, _, members, *_)] = reply.groups
    held = [(client, _assigned(given)) for _, client, _, _, given in members]
    return held, state == "Stable", {tp: at.offset for tp, at in offsets.items()}


def _assigned(given: bytes) -> frozenset[TopicPartition]:
    """Of a member's assignment; one that is just joining has none."""
    return frozenset(ConsumerProtocolMemberAssignment.decode(given).partitions()) if given else frozenset()
