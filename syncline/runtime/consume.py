"""Consuming in passes: fetch from every assigned partition, handle, commit; a failed pass is fetched again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from syncline.contracts.errors import Transient
from syncline.contracts.topics import MESSAGE_BYTES
from syncline.runtime.backoff import delays
from syncline.runtime.clients import new_consumer, unreachable
from syncline.runtime.leaving import stop_member
from syncline.runtime.security import Address
from syncline.runtime.waiting import patiently, until

log = structlog.get_logger()

LONGEST_PASS_MS = 120_000
"""So long a group waits for the pass in flight of a living member before it goes on without it; as long as /live has
patience. aiokafka's own default, the session timeout, would hand the records of a longer pass to another replica."""

HEARTBEAT = 1.0
"""Most seconds between two heartbeats of a member. Only from their answers it learns that others come or go, and the
whole group waits for the last one to learn it."""

IDLE = "every partition has a replica already: this one takes over as soon as another goes"

Handle = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]


class _BetweenPasses(ConsumerRebalanceListener):  # type: ignore[misc]
    """Holds a rebalance back until the pass in flight has committed, so that no other replica repeats it.

    Never while records are fetched: during a rebalance aiokafka hands out none until it is over, and would be waited
    for by what it waits for. rounds: how many rebalances have begun; what was fetched before one belongs to an
    assignment that is no more, and is fetched again by whoever has the partition then.
    """

    def __init__(self, idle: Callable[[bool], None]) -> None:
        self.passing = asyncio.Lock()
        self.rounds = 0
        self._idle = idle

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.rounds += 1
        async with self.passing:
            pass

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        partitions = sorted(f"{tp.topic}/{tp.partition}" for tp in assigned)
        log.info("assigned", partitions=partitions)
        if not partitions:
            log.info("idle", why=IDLE)
        self._idle(not partitions)


async def consume(
    topics: Sequence[str],
    handle: Handle,
    *,
    address: Address,
    group: str,
    client_id: str,
    stop: asyncio.Event,
    linger: float,
    most: int,
    session_timeout: float,
    rng: random.Random,
    ready: Callable[[bool], None] = lambda _: None,
    idle: Callable[[bool], None] = lambda _: None,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Call `handle` with up to `most` records of all assigned partitions (each partition's in order), then commit.

    linger: seconds that a pass waits to become fuller after its first record. beat: called each round. idle: called at
    each assignment with whether no partition was left for this replica.
    Each topic's records are handled by themselves. Transient from `handle` means: run the same records again after a
    while, in which the other topics go on. Anything else ends the loop uncommitted.
    Returns after `stop` is set and the pass in flight is committed.
    """
    rebalances = _BetweenPasses(idle)

    async def join() -> AIOKafkaConsumer | None:
        consumer = new_consumer(
            address,
            group_id=group,
            client_id=client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(session_timeout * 1000),
            heartbeat_interval_ms=int(min(HEARTBEAT, session_timeout / 4) * 1000),
            rebalance_timeout_ms=LONGEST_PASS_MS,
            max_poll_interval_ms=1_800_000,
            max_partition_fetch_bytes=MESSAGE_BYTES,
        )
        consumer.subscribe(topics, listener=rebalances)
        return await _started(consumer, address, stop)

    consumer = await patiently(join, "Kafka", stop=stop, rng=rng, beat=beat)
    if consumer is None:
        return
    resting = _Resting(rng)
    try:
        ready(True)
        while not stop.is_set():
            beat()
            resting.apply(consumer)
            records, rounds = await _gather(consumer, rebalances, stop, linger, most)
            async with rebalances.passing:
                if rebalances.rounds != rounds:
                    continue
                for topic, part in _by_topic(records).items():
                    try:
                        await handle([record for batch in part.values() for record in batch])
                    except Transient as error:
                        log.warning("waiting", topic=topic, why=str(error), records=sum(map(len, part.values())))
                        _rewind(consumer, part)
                        resting.begin(topic, error.retry_after)
                    else:
                        resting.end(topic)
                        await _commit(consumer, part)
    finally:
        ready(False)
        await stop_member(consumer)


class _Resting:
    """The topics whose last pass failed, each until its own time is over."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._until: dict[str, float] = {}
        self._waits: dict[str, Iterator[float]] = {}

    def begin(self, topic: str, at_least: float | None) -> None:
        waits = self._waits.setdefault(topic, delays(self._rng, first=0.5))
        self._until[topic] = time.monotonic() + max(next(waits), at_least or 0.0)

    def end(self, topic: str) -> None:
        self._until.pop(topic, None)
        self._waits.pop(topic, None)

    def apply(self, consumer: AIOKafkaConsumer) -> None:
        """Also to partitions that were assigned meanwhile."""
        now = time.monotonic()
        still = {topic for topic, until in self._until.items() if until > now}
        assigned, paused = consumer.assignment(), consumer.paused()
        consumer.pause(*(each for each in assigned if each.topic in still))
        consumer.resume(*(each for each in assigned & paused if each.topic not in still))


def _by_topic(
    records: Mapping[TopicPartition, list[ConsumerRecord]],
) -> dict[str, dict[TopicPartition, list[ConsumerRecord]]]:
    found: dict[str, dict[TopicPartition, list[ConsumerRecord]]] = {}
    for partition, batch in records.items():
        found.setdefault(partition.topic, {})[partition] = batch
    return found


async def _started(consumer: AIOKafkaConsumer, address: Address, stop: asyncio.Event) -> AIOKafkaConsumer | None:
    """Returns when the group has given it partitions; None when `stop` is set before, for the group may be waiting for
    another member's pass. One that cannot start is closed: each try takes a new one."""
    try:
        await until(stop, consumer.start())
    except BaseException as error:
        await stop_member(consumer)
        if isinstance(error, KafkaError):
            raise await unreachable(address, error) from error
        raise
    if stop.is_set():
        await stop_member(consumer)
        return None
    return consumer


async def _gather(
    consumer: AIOKafkaConsumer, rebalances: _BetweenPasses, stop: asyncio.Event, linger: float, most: int
) -> tuple[dict[TopicPartition, list[ConsumerRecord]], int]:
    """Records of one assignment, and how many rebalances had begun when they were fetched."""
    records: dict[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=200, max_records=most)
    rounds = rebalances.rounds
    until = time.monotonic() + linger
    while records and not stop.is_set():
        left, room = until - time.monotonic(), most - sum(map(len, records.values()))
        if left <= 0 or room <= 0:
            break
        more = await consumer.getmany(timeout_ms=max(1, int(left * 1000)), max_records=room)
        if rebalances.rounds != rounds:
            records, rounds = {}, rebalances.rounds
        for partition, batch in more.items():
            records.setdefault(partition, []).extend(batch)
    return records, rounds


def _rewind(consumer: AIOKafkaConsumer, records: dict[TopicPartition, list[ConsumerRecord]]) -> None:
    for partition, batch in records.items():
        try:
            consumer.seek(partition, batch[0].offset)
        except IllegalStateError:
            log.info("no longer assigned", topic=partition.topic, partition=partition.partition)


async def _commit(consumer: AIOKafkaConsumer, records: dict[TopicPartition, list[ConsumerRecord]]) -> None:
    try:
        await consumer.commit({partition: batch[-1].offset + 1 for partition, batch in records.items()})
    except (CommitFailedError, IllegalStateError) as error:
        # Another replica owns the partition now and repeats these records, which is harmless.
        log.warning("not committed", why=str(error))
    except KafkaError as error:
        log.warning("not committed yet, the next pass commits past it", why=str(error))


Record = Any
"""aiokafka's ConsumerRecord: topic, partition, offset, key, value."""
