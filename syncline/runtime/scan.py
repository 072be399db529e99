"""Reading topics back, up to the end that they have now. Takes part in no consumer group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from syncline.contracts.errors import Transient
from syncline.contracts.topics import MESSAGE_BYTES
from syncline.runtime.clients import new_consumer, unreachable
from syncline.runtime.security import Address

PATIENCE = 30.0
"""Seconds without a message, short of the end, after which the broker is given up."""

Record = Any
"""aiokafka's ConsumerRecord."""

Places = Mapping[str, Collection[int]]
"""Topic to the partitions that must be read."""

Offsets = dict[TopicPartition, int]

Progress = Callable[[int, int], None]
"""Called with how many of how many messages were looked at."""


class Span(NamedTuple):
    """The offsets of a partition from `start` up to, not including, `end`."""

    start: int
    end: int


class Part(NamedTuple):
    """Messages of one partition; at: the offset behind them, up to which everything was handed out."""

    place: TopicPartition
    records: list[Record]
    at: int


@asynccontextmanager
async def reader(address: Address, *, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of no group; `group` is one that it may commit for. Whatever Kafka raises inside becomes Transient."""
    consumer = new_consumer(
        address,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MESSAGE_BYTES,
        retry_backoff_ms=10,  # slept once for each topic before its offsets are asked for
        fetch_max_wait_ms=20,  # a fetch that waits at the end of one partition would keep the others back
    )
    try:
        try:
            await consumer.start()
        except KafkaError as error:
            raise await unreachable(address, error) from error
        await asyncio.sleep(0)  # aiokafka cannot stop a consumer whose own tasks never had a turn
        yield consumer
    except KafkaError as error:
        raise Transient(f"Kafka at {address} cannot be read: {error!r}; check whether the broker runs") from error
    finally:
        await consumer.stop()


async def scan(
    consumer: Any, places: Places, keep: Callable[[Record], bool], *, since: datetime | None, progress: Progress
) -> list[Record]:
    """The messages that `keep` takes, each partition's in order. Raises Transient."""
    kept: list[Record] = []
    async for records in stream(consumer, places, since=since, progress=progress):
        kept += [record for record in records if keep(record)]
    return kept


async def stream(
    consumer: Any,
    places: Places,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Progress,
) -> AsyncIterator[list[Record]]:
    """The messages in lists of one partition each, in order, up to the end that it has now. What was handed out is
    not kept. `until` leaves out what is as new or newer. Raises Transient."""
    found = await spans(consumer, places, since=since, until=until)
    async for part in over(consumer, found, progress=progress):
        yield part.records


async def spans(
    consumer: Any, places: Places, *, since: datetime | None = None, until: datetime | None = None
) -> dict[TopicPartition, Span]:
    """What these partitions hold between two moments, as of now. Raises Transient."""
    partitions = [TopicPartition(topic, number) for topic, numbers in places.items() for number in numbers]
    ends: Offsets = await consumer.end_offsets(partitions)
    if until is not None:
        ends = await _at(consumer, ends, until)
    starts: Offsets = (
        await consumer.beginning_offsets(partitions) if since is None else await _at(consumer, ends, since)
    )
    return {tp: Span(starts[tp], ends[tp]) for tp in partitions}


async def over(consumer: Any, given: Mapping[TopicPartition, Span], *, progress: Progress) -> AsyncIterator[Part]:
    """The messages of the spans, in lists of one partition each, in order; no span's last part is left out, though it
    may be empty. Raises Transient."""
    left = {tp: span for tp, span in given.items() if span.start < span.end}
    consumer.assign(sorted(left))
    for tp, span in left.items():
        consumer.seek(tp, span.start)
    at = {tp: span.start for tp, span in left.items()}
    total, heard = sum(span.end - span.start for span in left.values()), time.monotonic()
    while left:
        fetched = await consumer.getmany(timeout_ms=500, max_records=5000)
        for tp, records in fetched.items():
            end = left[tp].end
            # Compacted topics have gaps, so that the position counts and not the messages.
            at[tp] = min(end, await consumer.position(tp))
            yield Part(tp, [record for record in records if record.offset < end], at[tp])
            if at[tp] == end:
                del left[tp]
                consumer.pause(tp)
        if fetched:
            heard = time.monotonic()
            progress(total - sum(span.end - at[tp] for tp, span in left.items()), total)
        elif time.monotonic() - heard > PATIENCE:
            stuck = ", ".join(f"{tp.topic}/{tp.partition}/{at[tp]}" for tp in sorted(left))
            raise Transient(f"Kafka sent nothing for {PATIENCE:.0f} s, reading stopped before {stuck}: try again")


async def message_at(consumer: Any, topic: str, partition: int, offset: int) -> Record | None:
    """The message at just this place, None when it is kept no longer or was never written. Raises Transient."""
    tp = TopicPartition(topic, partition)
    first, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    if not first <= offset < end:
        return None
    consumer.assign([tp])
    consumer.seek(tp, offset)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for records in (await consumer.getmany(timeout_ms=500, max_records=1)).values():
            return records[0] if records[0].offset == offset else None
    raise Transient(f"Kafka sent nothing for {PATIENCE:.0f} s, asked for {topic}/{partition}/{offset}: try again")


async def _at(consumer: Any, ends: Offsets, moment: datetime) -> Offsets:
    """Where each partition stood at `moment`: never past its end."""
    found = await consumer.offsets_for_times({tp: int(moment.timestamp() * 1000) for tp in ends})
    return {tp: min(ends[tp], at.offset) if at else ends[tp] for tp, at in found.items()}
