"""How far consumer groups are behind, by what they have committed; no service is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from syncline.runtime.admin import asking
from syncline.runtime.scan import Offsets, reader

FOUND = 15.0
"""Seconds within which a broker finds who coordinates a group."""

LOOK = 0.2
"""Seconds between two looks at what a group has committed."""


@dataclass(frozen=True, slots=True)
class Group:
    """members: consumers that are in it now; lag: topic to messages that are not done yet."""

    name: str
    members: int
    lag: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.lag.values())


async def groups(address: str, wanted: Mapping[str, Sequence[str]], *, partitions: int) -> list[Group]:
    """By name, each with the topics that it reads. A partition in which a group has committed nothing counts from its
    first message, where the services would begin. Raises Transient."""
    topics = sorted({topic for each in wanted.values() for topic in each})
    places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
    async with reader(address) as consumer, asking(address) as admin:
        firsts: Offsets = await consumer.beginning_offsets(places)
        asked = await asyncio.gather(*(_group(admin, name) for name in wanted))
        ends: Offsets = await consumer.end_offsets(places)  # last: a lag is rather too large than below zero
    return [
        Group(name, members, {topic: _behind(topic, partitions, committed, firsts, ends) for topic in wanted[name]})
        for name, (members, committed) in zip(wanted, asked, strict=True)
    ]


Stage = tuple[str, Sequence[str]]
"""A consumer group, and topics that it reads."""


async def worked_off(address: str, stages: Sequence[Stage], *, partitions: int, within: float) -> bool:
    """Wait until each group has done what was on its topics when its turn came, one stage after the other: what a stage
    makes of that is on the next one's topics by then. False when `within` seconds did not suffice. Raises Transient."""
    until = time.monotonic() + within
    async with reader(address) as consumer, asking(address) as admin:
        for name, topics in stages:
            places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
            firsts: Offsets = await consumer.beginning_offsets(places)
            ends: Offsets = await consumer.end_offsets(places)
            while True:
                _, committed = await _group(admin, name)
                if not any(_behind(topic, partitions, committed, firsts, ends) for topic in topics):
                    break
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(LOOK)
    return True


async def _group(admin: Any, name: str) -> tuple[int, Mapping[TopicPartition, int]]:
    until = time.monotonic() + FOUND
    while True:
        try:
            committed = await admin.list_consumer_group_offsets(name)
            break
        except KafkaError as error:  # a broker that never had a group makes the topic of their offsets first
            if not error.retriable or time.monotonic() > until:
                raise
            await asyncio.sleep(0.2)
    [reply] = await admin.describe_consumer_groups([name])
    [(_, _, _, _, _, members, *_)] = reply.groups
    return len(members), {tp: at.offset for tp, at in committed.items()}


def _behind(
    topic: str, partitions: int, committed: Mapping[TopicPartition, int], firsts: Offsets, ends: Offsets
) -> int:
    places = [TopicPartition(topic, number) for number in range(partitions)]
    return sum(max(0, ends[tp] - max(firsts[tp], committed.get(tp, 0))) for tp in places)
