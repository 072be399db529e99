"""Kafka clients that move whole batches: nothing here makes a future, a task or a hash lookup per record on its own."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from murmurhash2 import murmurhash2

from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.topics import MESSAGE_BYTES
from syncline.runtime.clients import new_producer, unreachable
from syncline.runtime.security import Address

BATCH_BYTES = 256 * 1024
SEED = 0x9747B28C
"""Of the default partitioner, as in Kafka's Java client."""

Headers = Sequence[tuple[str, bytes]]


class Message(NamedTuple):
    topic: str
    key: bytes
    value: bytes


class Placed(NamedTuple):
    """A message for a certain partition, whatever its key says."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def partition_of(key: bytes, count: int) -> int:
    """Where Kafka's default partitioner (murmur2) puts a key; everything about one key meets there."""
    return (murmurhash2(key, SEED) & 0x7FFFFFFF) % count


def partitions_of(key: bytes, counts: Iterable[int]) -> set[int]:
    """Where a key may lie on topics that have had these numbers of partitions."""
    return {partition_of(key, count) for count in counts}


async def send(
    producer: Any,
    pairs: Sequence[tuple[bytes | None, bytes | None]],
    topic: str,
    partition: int,
    headers: Headers = (),
) -> list[asyncio.Future[Any]]:
    """Append `pairs`, keys and values, to whole batches for one partition; the futures are the batches' deliveries.

    A value of None is a tombstone. `headers` go with each message.
    """
    deliveries: list[asyncio.Future[Any]] = []
    each, done = list(headers), 0
    while done < len(pairs):
        batch = producer.create_batch()
        done += fill(batch, pairs, done, each)
        deliveries.append(await producer.send_batch(batch, topic, partition=partition))
    return deliveries


def fill(batch: Any, pairs: Sequence[tuple[bytes | None, bytes | None]], start: int, headers: Sequence[Any]) -> int:
    """Put into a new batch what it holds of the pairs from `start` on, one at least, and close it; returns how many.

    Past `append` of aiokafka 0.14, which costs more than what it calls.
    """
    append, now, number = batch._builder.append, int(time.time() * 1000), 0
    for at in range(start, len(pairs)):
        key, value = pairs[at]
        if append(number, now, key=key, value=value, headers=headers) is None:
            break
        number += 1
    batch._relative_offset = number
    batch.close()
    return number


class Publisher:
    """Publishes batches and returns when the broker has all of them."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int | None = None) -> None:
        """partitions: of every topic; None takes what there are."""
        self._producer = producer
        self._partitions = partitions
        self._counts: dict[str, int] = {}

    async def publish(self, messages: Iterable[Message], headers: Headers = ()) -> None:
        """Raises RecordRejected before anything is sent when a message is over the limit, Transient when the broker
        did not acknowledge all (some may have been delivered: repeat the whole batch), Fatal when a topic has another
        partition count than was told. `headers` go with each."""
        topics: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
        for topic, key, value in messages:
            if len(key) + len(value) > MESSAGE_BYTES - 1024:
                raise RecordRejected(
                    f"a message of {len(value)} bytes for {topic} is over the limit of {MESSAGE_BYTES}",
                    code="MESSAGE_TOO_LARGE",
                    remedy="Leave large fields out of the mapping.",
                )
            topics[topic].append((key, value))
        groups: defaultdict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
        try:
            for topic, pairs in topics.items():
                count = self._counts.get(topic) or await self._count(topic)
                for pair in pairs:
                    groups[topic, partition_of(pair[0], count)].append(pair)
            deliveries = [
                delivery
                for (topic, partition), pairs in groups.items()
                for delivery in await send(self._producer, pairs, topic, partition, headers)
            ]
            await asyncio.gather(*deliveries)
        except KafkaError as error:
            raise Transient(f"Kafka did not take {sum(map(len, topics.values()))} messages: {error}") from error

    async def forward(
        self, pairs: Sequence[tuple[bytes | None, bytes | None]], topic: str, partition: int, headers: Headers = ()
    ) -> None:
        """(key, value) pairs to one partition, whatever their keys say. Raises Transient."""
        try:
            await asyncio.gather(*await send(self._producer, pairs, topic, partition, headers))
        except KafkaError as error:
            raise Transient(f"Kafka did not take {len(pairs)} messages for {topic}: {error!r}") from error

    async def place(self, messages: Iterable[Placed]) -> None:
        """One by one, with their headers: for what people send. Raises Transient."""
        try:
            deliveries = [
                await self._producer.send(topic, value, key, partition, headers=list(headers))
                for topic, partition, key, value, headers in messages
            ]
            await asyncio.gather(*deliveries)
        except KafkaError as error:
            raise Transient(f"Kafka did not take all messages: {error!r}") from error

    async def _count(self, topic: str) -> int:
        count = len(await self._producer.partitions_for(topic))
        if self._partitions not in (None, count):
            raise Fatal(
                f"topic {topic} has {count} partitions where SYNCLINE_PARTITIONS says {self._partitions}: stop all "
                "services and run `syncline partitions`"
            )
        self._counts[topic] = count
        return count


@asynccontextmanager
async def publisher(address: Address, client_id: str, partitions: int | None = None) -> AsyncIterator[Publisher]:
    """Acknowledged by all replicas and idempotent: a retry inside the client neither doubles nor reorders."""
    producer = new_producer(
        address,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=BATCH_BYTES,
        max_request_size=MESSAGE_BYTES,
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise await unreachable(address, error) from error
    try:
        yield Publisher(producer, partitions)
    finally:
        await producer.stop()
