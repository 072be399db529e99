"""Creating the topics, and refusing to run on wrong ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.topics import Topic
from syncline.runtime.clients import new_admin, unreachable
from syncline.runtime.security import Address


class TopicFault(NamedTuple):
    what: str
    remedy: str


SHOWN = 30.0
"""Seconds within which a broker shows a topic that its controller has created."""


async def create_topics(address: Address, topics: Sequence[Topic], *, partitions: int, replication: int) -> list[str]:
    """Create those that are missing, wait until the broker shows them, and return their names.

    Raises Fatal when a present one does not fit, before anything is created.
    """
    async with asking(address) as admin:
        present = await _counts(admin, topics)
        _refuse([topic for topic in topics if topic.name in present], present, partitions)
        missing = [topic for topic in topics if topic.name not in present]
        if not missing:
            return []
        reply = await admin.create_topics(
            [NewTopic(topic.name, partitions, replication, topic_configs=topic.config) for topic in missing]
        )
        for name, code, *_ in reply.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise Fatal(f"topic {name} cannot be created: {error.__name__} (replication factor {replication})")
        until = time.monotonic() + SHOWN
        while len(present := await _counts(admin, missing)) < len(missing):
            if time.monotonic() > until:
                raise Transient(f"Kafka at {address} does not show the topics that it was told to create")
            await asyncio.sleep(0.1)
        _refuse(missing, present, partitions)  # another process may have been quicker
        return [topic.name for topic in missing]


async def add_partitions(address: Address, names: Sequence[str], count: int) -> None:
    """Give each `count` of them, where it has fewer, and wait until the broker shows them. Raises Transient."""
    async with asking(address) as admin:
        topics = [Topic(name) for name in names]
        if few := [name for name, present in (await _counts(admin, topics)).items() if present < count]:
            await admin.create_partitions({name: NewPartitions(total_count=count) for name in few})
        until = time.monotonic() + SHOWN
        while set((await _counts(admin, topics)).values()) - {count}:
            if time.monotonic() > until:
                raise Transient(f"Kafka at {address} does not show the partitions that it was told to add")
            await asyncio.sleep(0.1)


async def check_topics(address: Address, topics: Sequence[Topic], *, partitions: int) -> None:
    """Raises Fatal naming every topic that is missing or has another partition count than configured."""
    async with asking(address) as admin:
        _refuse(topics, await _counts(admin, topics), partitions)


async def topic_faults(address: Address, topics: Sequence[Topic], *, partitions: int) -> list[TopicFault]:
    """What `check_topics` would refuse. Raises Transient."""
    async with asking(address) as admin:
        return _faults(topics, await _counts(admin, topics), partitions)


async def check_present(address: Address, names: Sequence[str]) -> None:
    """Raises Transient naming the topics that are missing: others make them, with as many partitions as they like."""
    counts = await partition_counts(address, names)
    if missing := sorted(set(names) - counts.keys()):
        raise Transient(f"{', '.join(missing)} not there yet: start what fills it, or correct pipelines.yaml")


async def partition_counts(address: Address, topics: Iterable[str]) -> dict[str, int]:
    """How many partitions each has; a topic that there is not is left out. Raises Transient."""
    async with asking(address) as admin:
        return await _counts(admin, [Topic(name) for name in sorted(set(topics))])


async def _counts(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, int]:
    """The partition count of each topic that there is."""
    described = await admin.describe_topics([topic.name for topic in topics])
    return {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}


def _refuse(topics: Sequence[Topic], counts: Mapping[str, int], partitions: int) -> None:
    if faults := _faults(topics, counts, partitions):
        raise Fatal("\n".join(f"{fault.what}: {fault.remedy}" for fault in faults))


def _faults(topics: Sequence[Topic], counts: Mapping[str, int], partitions: int) -> list[TopicFault]:
    return [
        TopicFault(f"topic {topic.name} is missing", "run `syncline topics`")
        if topic.name not in counts
        else TopicFault(
            f"topic {topic.name} has {counts[topic.name]} partitions where SYNCLINE_PARTITIONS says {partitions}",
            "set that to the topics' count; to change theirs, stop the services and run `syncline partitions`",
        )
        for topic in topics
        if counts.get(topic.name) != partitions
    ]


@asynccontextmanager
async def asking(address: Address) -> AsyncIterator[AIOKafkaAdminClient]:
    """Raises Transient for whatever the client raises, also inside."""
    admin = new_admin(address, request_timeout_ms=20_000)
    try:
        await admin.start()
    except KafkaError as error:
        await admin.close()
        raise await unreachable(address, error) from error
    try:
        yield admin
    except KafkaError as error:
        raise Transient(f"Kafka at {address} did not answer: {error}") from error
    finally:
        await admin.close()
