"""Consuming on a real broker: a record is handled before it is committed, and again until it was."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from structlog.testing import capture_logs

from syncline.contracts.errors import Transient
from syncline.contracts.topics import Topic
from syncline.runtime.admin import create_topics
from syncline.runtime.consume import Record, consume

PARTITIONS = 4
Place = tuple[int, int]
"""Partition and offset."""


class Eager(random.Random):
    """Never waits."""

    def uniform(self, a: float, b: float) -> float:
        return a


@dataclass
class Broker:
    """A topic and a group of the test's own."""

    address: str
    topic: str
    group: str
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient

    async def produce(self, count: int) -> None:
        """So many records in each partition."""
        for number in range(count):
            for partition in range(PARTITIONS):
                await self.producer.send(self.topic, b"%d" % number, partition=partition)
        await self.producer.flush()

    async def committed(self) -> dict[int, int]:
        """Partition to the next offset that the group would read."""
        offsets = await self.admin.list_consumer_group_offsets(self.group)
        return {place.partition: found.offset for place, found in offsets.items() if found.offset >= 0}


@dataclass
class Member:
    """One consumer of the group. `then` is called in each pass, after it was written down."""

    broker: Broker
    name: str = "a"
    most: int = 1000
    linger: float = 0.05
    session_timeout: float = 6.0
    then: Callable[[Sequence[Record]], Awaitable[None]] | None = None
    passes: list[list[Place]] = field(default_factory=list)
    ready: list[bool] = field(default_factory=list)
    beats: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    more: list[str] = field(default_factory=list)

    async def run(self) -> None:
        await consume(
            [self.broker.topic, *self.more],
            self._handle,
            address=self.broker.address,
            group=self.broker.group,
            client_id=self.name,
            stop=self.stop,
            linger=self.linger,
            most=self.most,
            session_timeout=self.session_timeout,
            rng=Eager(),
            ready=self.ready.append,
            beat=self._beat,
        )

    async def _handle(self, records: Sequence[Record]) -> None:
        self.passes.append([(record.partition, record.offset) for record in records])
        if self.then:
            await self.then(records)

    def _beat(self) -> None:
        self.beats += 1

    @property
    def seen(self) -> list[Place]:
        return [place for each in self.passes for place in each]

    @property
    def partitions(self) -> set[int]:
        return {partition for partition, _ in self.seen}


@dataclass
class Held:
    """What a pass does that goes on for as long as the test wants."""

    inside: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: Sequence[Record]) -> None:
        self.inside.set()
        await self.go_on.wait()


@pytest.fixture
async def broker(kafka_address: str, topic_prefix: str) -> AsyncIterator[Broker]:
    topic = Topic(f"{topic_prefix}commands")
    await create_topics(kafka_address, [topic], partitions=PARTITIONS, replication=1)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    try:
        async with AIOKafkaProducer(bootstrap_servers=kafka_address) as producer:
            yield Broker(kafka_address, topic.name, f"{topic_prefix}writer", producer, admin)
    finally:
        await admin.close()


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    """Until the end of the block; an error of a member is raised there, or in the block's next wait."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(member.run())
        try:
            yield
        finally:
            for member in members:
                member.stop.set()


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def all_of(count: int) -> list[Place]:
    return [(partition, offset) for partition in range(PARTITIONS) for offset in range(count)]


async def test_every_record_is_handled_once_in_order_and_committed(broker: Broker) -> None:
    await broker.produce(50)
    member = Member(broker)
    async with running(member):
        await until(lambda: len(member.seen) == 50 * PARTITIONS)
        await broker.produce(1)
        await until(lambda: len(member.seen) == 51 * PARTITIONS)
    for partition in range(PARTITIONS):
        assert [offset for at, offset in member.seen if at == partition] == list(range(51))
    assert await broker.committed() == dict.fromkeys(range(PARTITIONS), 51)
    assert member.ready == [True, False]


async def test_a_pass_has_no_more_than_it_may(broker: Broker) -> None:
    await broker.produce(50)
    member = Member(broker, most=30)
    async with running(member):
        await until(lambda: len(member.seen) == 50 * PARTITIONS)
    assert max(map(len, member.passes)) == 30
    assert sorted(member.seen) == all_of(50)


async def test_a_pass_waits_to_become_fuller(broker: Broker) -> None:
    """What trickles in becomes one pass: the linger is longer than the test, so only a full pass ends it."""
    member = Member(broker, most=10, linger=3600)
    async with running(member):
        for _ in range(5):
            await broker.produce(1)
        await until(lambda: len(member.seen) >= 5 * PARTITIONS)
    assert [len(each) for each in member.passes] == [10, 10]


async def test_a_round_without_records_beats_too(broker: Broker) -> None:
    member = Member(broker)
    async with running(member):
        await until(lambda: member.beats >= 3)
    assert member.passes == []


async def test_a_transient_pass_is_run_again_with_the_same_records(broker: Broker) -> None:
    async def refuse(_: Sequence[Record]) -> None:
        if len(member.passes) <= 4:
            assert await broker.committed() == {}
        if len(member.passes) < 4:
            raise Transient("the target is away")

    await broker.produce(10)
    member = Member(broker, then=refuse, most=12)
    async with running(member):
        await until(lambda: sorted(place for each in member.passes[3:] for place in each) == all_of(10))
    for each in member.passes[:4]:
        for partition in {partition for partition, _ in each}:
            offsets = [offset for at, offset in each if at == partition]
            assert offsets == list(range(len(offsets))), "it begins anew, in order"
    assert await broker.committed() == dict.fromkeys(range(PARTITIONS), 10)


async def test_a_topic_that_has_to_wait_holds_up_no_other(broker: Broker) -> None:
    other = replace(broker, topic=f"{broker.topic}.other")
    await create_topics(broker.address, [Topic(other.topic)], partitions=PARTITIONS, replication=1)
    tried: Counter[str] = Counter()
    done: list[Place] = []

    async def refuse(records: Sequence[Record]) -> None:
        (topic,) = {record.topic for record in records}
        tried[topic] += 1
        if topic == broker.topic:
            raise Transient("the target is away", retry_after=600.0)
        done.extend((record.partition, record.offset) for record in records)

    member = Member(broker, then=refuse, more=[other.topic])
    await broker.produce(10)
    async with running(member):
        await until(lambda: tried[broker.topic])
        for count in (5, 10):
            await other.produce(5)
            await until(lambda count=count: sorted(done) == all_of(count))  # type: ignore[misc]
        await broker.produce(1)
        beats = member.beats
        await until(lambda: member.beats > beats + 3)
        found = await broker.admin.list_consumer_group_offsets(broker.group)
    assert tried[broker.topic] <= PARTITIONS  # once, or with each partition that came later
    assert {place.topic for place, offset in found.items() if offset.offset > 0} == {other.topic}


async def test_nothing_is_committed_before_the_pass_has_ended(broker: Broker) -> None:
    held = Held()
    await broker.produce(10)
    member = Member(broker, then=held)
    async with running(member):
        await held.inside.wait()
        assert await broker.committed() == {}
        held.go_on.set()
        while len(await broker.committed()) < PARTITIONS:
            await asyncio.sleep(0.02)


async def test_an_error_ends_the_loop_and_leaves_the_records_to_the_next(broker: Broker) -> None:
    async def fail(_: Sequence[Record]) -> None:
        raise LookupError("a bug")

    await broker.produce(10)
    broken = Member(broker, then=fail)
    with pytest.raises(LookupError, match="a bug"):
        async with asyncio.timeout(30):
            await broken.run()
    assert broken.ready == [True, False]
    assert await broker.committed() == {}
    member = Member(broker)
    async with running(member):
        await until(lambda: len(member.seen) == 10 * PARTITIONS)
    assert sorted(member.seen) == all_of(10)


async def test_what_is_told_to_stop_commits_the_pass_in_flight_and_no_more(broker: Broker) -> None:
    async def stop(_: Sequence[Record]) -> None:
        member.stop.set()

    await broker.produce(10)
    member = Member(broker, then=stop, most=7)
    async with asyncio.timeout(30):
        await member.run()
    (only,) = member.passes
    assert len(only) == 7
    assert sum((await broker.committed()).values()) == 7
    after = Member(broker)
    async with running(after):
        await until(lambda: len(after.seen) == 10 * PARTITIONS - 7)
    assert sorted([*only, *after.seen]) == all_of(10)


async def test_two_members_share_the_partitions_and_a_rebalance_waits_for_the_pass_in_flight(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    first, second = Member(broker, "first", then=held), Member(broker, "second")
    await broker.produce(10)
    async with running(first):
        await held.inside.wait()  # it has all partitions, and is in the middle of a pass
        async with running(second):
            # The first is told at a heartbeat, and is still told at the next: it has not given anything away.
            await until(lambda: caplog.text.count("because it is rebalancing") >= 2 or second.ready)
            assert not second.ready
            held.go_on.set()
            await until(lambda: second.ready)
            before = len(first.seen)
            await broker.produce(5)
            await until(lambda: len(first.seen) + len(second.seen) == 15 * PARTITIONS)
            shared = {partition for partition, _ in first.seen[before:]}
            assert shared | second.partitions == set(range(PARTITIONS))
            assert len(shared) == len(second.partitions) == 2
    assert sorted([*first.seen, *second.seen]) == all_of(15), "none was handled twice"
    assert await broker.committed() == dict.fromkeys(range(PARTITIONS), 15)


async def test_who_is_told_to_stop_does_not_wait_for_the_pass_of_another(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the group wait for who has gone: its session would last a minute."""
    held = Held()
    first = Member(broker, "first", then=held)
    await broker.produce(10)
    async with running(first):
        await held.inside.wait()
        second = Member(broker, "second", session_timeout=60.0)
        waiting = asyncio.create_task(second.run())
        await until(lambda: "because it is rebalancing" in caplog.text)
        second.stop.set()
        async with asyncio.timeout(20):
            await waiting
        held.go_on.set()
        await broker.produce(5)
        async with asyncio.timeout(20):
            await until(lambda: len(first.seen) == 15 * PARTITIONS)
    assert sorted(first.seen) == all_of(15)


async def test_the_partitions_of_one_that_leaves_go_to_the_other(broker: Broker) -> None:
    first, second = Member(broker, "first"), Member(broker, "second")
    async with running(first):
        async with running(second):
            await until(lambda: first.ready and second.ready)
            await broker.produce(5)
            await until(lambda: len(first.seen) + len(second.seen) == 5 * PARTITIONS)
            assert first.partitions
            assert second.partitions
        await broker.produce(5)
        await until(lambda: len(first.seen) + len(second.seen) == 10 * PARTITIONS)
    assert sorted([*first.seen, *second.seen]) == all_of(10)


async def test_a_broker_that_is_not_there_is_waited_for_until_told_to_stop() -> None:
    with socket.socket() as holder:  # bound and not listening
        holder.bind(("127.0.0.1", 0))
        stop = asyncio.Event()
        waiting = asyncio.create_task(
            consume(
                ["commands"],
                lambda _: asyncio.sleep(0),
                address=f"127.0.0.1:{holder.getsockname()[1]}",
                group="writer",
                client_id="a",
                stop=stop,
                linger=0,
                most=1,
                session_timeout=6.0,
                rng=random.Random(1),
            )
        )
        with capture_logs() as logs:
            async with asyncio.timeout(30):
                await until(lambda: logs)
                stop.set()
                await waiting
        assert "cannot be reached" in logs[0]["why"]
    del waiting
    gc.collect()  # an unclosed consumer would warn, and warnings are errors
