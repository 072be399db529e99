"""Reading a record's story back from Kafka and PostgreSQL. Takes part in no consumer group and stores nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.conflict import Conflict
from syncline.contracts.errors import Transient
from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref
from syncline.contracts.topics import MESSAGE_BYTES, topics
from syncline.runtime.admin import check_topics
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements
from syncline.state.database import check_migrated, connect
from syncline.state.links import Links
from syncline.timeline import entries as told
from syncline.timeline import wanted
from syncline.timeline.asked import candidates, kinds, one
from syncline.timeline.entry import Entry
from syncline.timeline.fetched import Fetched
from syncline.timeline.held import Step, held_now, holds, steps
from syncline.timeline.story import Story, choose
from syncline.timeline.wanted import Keep, Places

SQL = statements("syncline.timeline", "timeline.sql")

PATIENCE = 30.0
"""Seconds without a message, short of the end, after which the broker is given up."""

Offsets = dict[TopicPartition, int]

Progress = Callable[[int, int], None]
"""Called with how many of how many messages were looked at."""


async def explain(
    asked: str, settings: Settings, config: Config, *, since: datetime | None, progress: Progress
) -> Story:
    """The timeline of one record, by any of its names; `since` leaves out what is older, never what is true now.

    Raises Unknown, Transient, Fatal.
    """
    meant = candidates(asked, config)
    async with connect(settings.database_url.get_secret_value(), application="syncline-explain", size=1) as pool:
        await check_migrated(pool)
        links = await _links(pool, meant, kinds(config))
        groups = one(meant, links)
        refs = frozenset().union(*groups)
        conflicts = await _conflicts(pool, refs)
    names = settings.names
    await _check(settings, config)
    async with _consumer(settings.kafka) as consumer:
        own = wanted.keys(refs, config.sources, names)
        under_parents = dict.fromkeys([names.mapped, *map(names.commands, config.targets)], range(settings.partitions))
        keyed, named = wanted.by_key(own), wanted.by_name(refs)
        records = await scan(
            consumer,
            {**wanted.places(own, settings.partitions), **under_parents},
            lambda record: keyed(record) if record.topic in own else named(record),
            since=since,
            progress=progress,
        )
        found = list(told.entries(records, refs, names))
        letters = wanted.letter_keys(refs, [entry.where for entry in found], names)
        rejected = await scan(
            consumer,
            wanted.places(letters, settings.partitions),
            wanted.by_key(letters),
            since=since,
            progress=progress,
        )
        rows = await scan(consumer, _held(settings), wanted.by_slot(refs), since=None, progress=progress)
    now = datetime.now(UTC)
    found += told.letters(rejected, refs, {entry.where: entry.ref for entry in found})
    found += holds(rows, refs, now)
    found += conflicts
    found += [told.link(link, now) for link in links]
    return choose(asked, groups, [entry for entry in found if since is None or entry.at >= since])


async def held(settings: Settings, config: Config, *, progress: Progress) -> list[Step]:
    """Everything that waits now, the longest first. Raises Transient, Fatal."""
    await _check(settings, config)
    async with _consumer(settings.kafka) as consumer:
        rows = await scan(consumer, _held(settings), lambda _: True, since=None, progress=progress)
    return held_now(steps(rows))


async def _check(settings: Settings, config: Config) -> None:
    """The partition count must be the topics' own: it tells where a key lives."""
    wanted = topics(settings.names, config.sources, config.targets)
    await check_topics(settings.kafka, wanted, partitions=settings.partitions)


def _held(settings: Settings) -> Places:
    return {settings.names.changelog("held"): range(settings.partitions)}


async def _links(pool: Any, refs: Iterable[Ref], known: Iterable[Object]) -> list[Link]:
    """The links of the records, and those of the records that they are linked to."""
    others = list(known)
    found: dict[frozenset[Ref], Link] = {}
    seen: set[Ref] = set()
    fresh = set(refs)
    while fresh:
        asked = [(ref, kind) for ref in sorted(fresh) for kind in others if kind.system != ref.system]
        for link in (await Links(pool).find(asked)).values():
            found.setdefault(frozenset((link.source.ref, link.target.ref)), link)
        seen |= fresh
        fresh = {ref for pair in found for ref in pair} - seen
    return list(found.values())


async def _conflicts(pool: Any, refs: Collection[Ref]) -> list[Entry]:
    with errors("reading syncline.conflicts"):
        rows = await pool.fetch(SQL["conflicts"], [str(ref) for ref in refs])
    return [
        entry
        for row in rows
        for entry in told.conflict(
            Conflict(
                source=Ref.parse(row["source"]),
                target=Ref.parse(row["target"]),
                **{name: row[name] for name in ("pipeline", "field", "decided", "version")},
                **{name: row[name] for name in ("agreed", "incoming", "present")},
            ),
            refs,
            number=row["id"],
            **{name: row[name] for name in ("at", "resolved", "resolved_at")},
        )
    ]


@asynccontextmanager
async def _consumer(address: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of no group. Whatever Kafka raises inside becomes Transient."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MESSAGE_BYTES,
        retry_backoff_ms=10,  # slept once for each topic before its offsets are asked for
        fetch_max_wait_ms=20,  # a fetch that waits at the end of one partition would keep the others back
    )
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise Transient(f"Kafka at {address} cannot be read: {error!r}") from error
    finally:
        await consumer.stop()


async def scan(
    consumer: Any, places: Places, keep: Keep, *, since: datetime | None, progress: Progress
) -> list[Fetched]:
    """The messages that `keep` takes, each partition's in order, up to the end that it has now. Raises Transient."""
    partitions = [TopicPartition(topic, number) for topic, numbers in places.items() for number in numbers]
    ends: Offsets = await consumer.end_offsets(partitions)
    starts = await _starts(consumer, ends, since)
    left = {tp for tp, end in ends.items() if starts[tp] < end}
    consumer.assign(sorted(left))
    for tp in left:
        consumer.seek(tp, starts[tp])
    kept: list[Fetched] = []
    at = {tp: starts[tp] for tp in left}
    total, heard = sum(ends[tp] - starts[tp] for tp in left), time.monotonic()
    while left:
        fetched = await consumer.getmany(timeout_ms=500, max_records=5000)
        for tp, records in fetched.items():
            kept += [record for record in records if record.offset < ends[tp] and keep(record)]
            # Compacted topics have gaps, so that the position counts and not the messages.
            at[tp] = min(ends[tp], await consumer.position(tp))
            if at[tp] == ends[tp]:
                left.discard(tp)
                consumer.pause(tp)
        if fetched:
            heard = time.monotonic()
            progress(total - sum(ends[tp] - at[tp] for tp in left), total)
        elif time.monotonic() - heard > PATIENCE:
            stuck = ", ".join(f"{tp.topic}/{tp.partition}/{at[tp]}" for tp in sorted(left))
            raise Transient(f"Kafka sent nothing for {PATIENCE:.0f} s, reading stopped before {stuck}: try again")
    return kept


async def _starts(consumer: Any, ends: Offsets, since: datetime | None) -> Offsets:
    if since is None:
        starts: Offsets = await consumer.beginning_offsets(list(ends))
        return starts
    found = await consumer.offsets_for_times({tp: int(since.timestamp() * 1000) for tp in ends})
    return {tp: at.offset if at else ends[tp] for tp, at in found.items()}
