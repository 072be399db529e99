"""Consuming in passes while the group changes: nobody is stuck, nothing is skipped, and stopping works."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from syncline.contracts.topics import Topic
from syncline.runtime.admin import create_topics
from syncline.runtime.consume import Record, consume

PARTITIONS = 4


class Reader:
    """One member of the group; `seen` counts what its passes handled, by value."""

    def __init__(self, address: str, topic: str, group: str, name: str, *, linger: float, session: float = 6.0) -> None:
        self.seen: Counter[bytes] = Counter()
        self.idle: bool | None = None
        self.passes = 0
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            consume(
                [topic],
                self._handle,
                address=address,
                group=group,
                client_id=name,
                stop=self.stop,
                linger=linger,
                most=10_000,
                session_timeout=session,
                rng=random.Random(name),
                idle=self._set_idle,
            )
        )

    def _set_idle(self, idle: bool) -> None:
        self.idle = idle

    async def _handle(self, records: Sequence[Record]) -> None:
        self.passes += 1
        self.seen.update(record.value for record in records)

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(20):
            await self.task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def topic(kafka_address: str, topic_prefix: str) -> str:
    name = f"{topic_prefix}consumed"
    await create_topics(kafka_address, [Topic(name)], partitions=PARTITIONS, replication=1)
    return name


@asynccontextmanager
async def flow(address: str, topic: str) -> AsyncIterator[list[bytes]]:
    """A few records to every partition, again and again; yields what the broker has taken so far."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    sent: list[bytes] = []

    async def send() -> None:
        while True:
            values = [b"%d" % (len(sent) + place) for place in range(PARTITIONS)]
            await asyncio.gather(
                *[await producer.send(topic, value=value, partition=number) for number, value in enumerate(values)]
            )
            sent.extend(values)
            await asyncio.sleep(0.02)

    await producer.start()
    sending = asyncio.create_task(send())
    try:
        yield sent
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await producer.stop()


async def test_a_rebalance_during_a_pass_that_lingers_blocks_nobody_and_loses_nothing(
    kafka_address: str, topic: str, topic_prefix: str
) -> None:
    def reader(name: str) -> Reader:
        # So long that the group changes while a pass is being filled.
        return Reader(kafka_address, topic, f"{topic_prefix}group", name, linger=1.5)

    async with AsyncExitStack() as ending:
        async with flow(kafka_address, topic) as sent:
            first = reader("first")
            ending.push_async_callback(first.end)
            await until(lambda: first.passes >= 1)
            second = reader("second")
            await until(lambda: second.passes >= 1)
            passes = first.passes
            await until(lambda: first.passes > passes)
            await second.end()
        await until(lambda: set(sent) <= {*first.seen, *second.seen})


async def test_one_more_than_partitions_is_idle_and_takes_over_at_once_from_who_stops(
    kafka_address: str, topic: str, topic_prefix: str
) -> None:
    """Long before a session's end, by which the group would learn of a member that says nothing."""

    def reader(name: str) -> Reader:
        return Reader(kafka_address, topic, f"{topic_prefix}idle", name, linger=0.05, session=60.0)

    async with AsyncExitStack() as ending, flow(kafka_address, topic):
        readers = [reader(f"reader {number}") for number in range(PARTITIONS + 1)]
        for each in readers:
            ending.push_async_callback(each.end)
        await until(lambda: sorted(each.idle is True for each in readers) == [False] * PARTITIONS + [True])
        [idle] = [each for each in readers if each.idle]
        working = next(each for each in readers if not each.idle)
        await working.end()
        passes = idle.passes
        await until(lambda: not idle.idle and idle.passes > passes)
