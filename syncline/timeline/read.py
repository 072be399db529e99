"""Reading a record's story back from Kafka and PostgreSQL. Takes part in no consumer group and stores nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref
from syncline.contracts.tables import HOMES
from syncline.contracts.topics import topics
from syncline.runtime.admin import check_topics
from syncline.runtime.placement import in_place
from syncline.runtime.postgres import errors
from syncline.runtime.scan import Places, Progress, reader, scan
from syncline.runtime.sql import statements
from syncline.state.database import check_migrated, connect
from syncline.state.links import Links
from syncline.state.partitions import FormerCounts
from syncline.timeline import entries as told
from syncline.timeline import wanted
from syncline.timeline.asked import candidates, kinds, one
from syncline.timeline.entry import Entry
from syncline.timeline.held import Step, held_now, holds, steps
from syncline.timeline.story import Story, choose

SQL = statements("syncline.timeline", "timeline.sql")


async def explain(
    asked: str, settings: Settings, config: Config, *, since: datetime | None, progress: Progress
) -> Story:
    """The timeline of one record, by any of its names; `since` leaves out what is older, never what is true now.

    Raises Unknown, Transient, Fatal.
    """
    meant = candidates(asked, config)
    async with connect(settings.database_url, application="syncline-explain", size=1) as pool:
        await check_migrated(pool)
        links = await _links(pool, meant, kinds(config))
        groups = one(meant, links)
        refs = frozenset().union(*groups)
        conflicts = await _conflicts(pool, refs)
        counts = [settings.partitions, *await FormerCounts(pool).all()]
    names = settings.names
    await check(settings, config)
    async with reader(settings.kafka) as consumer:
        own = wanted.keys(refs, config.sources, names)
        under_parents = dict.fromkeys([names.mapped, *map(names.commands, config.targets)], range(settings.partitions))
        keyed, named = wanted.by_key(own), wanted.by_name(refs)
        records = await scan(
            consumer,
            {**wanted.places(own, counts), **under_parents},
            lambda record: keyed(record) if record.topic in own else named(record),
            since=since,
            progress=progress,
        )
        found = list(told.entries(records, refs, names))
        letters = wanted.letter_keys(refs, [entry.where for entry in found], names)
        rejected = await scan(
            consumer,
            wanted.places(letters, counts),
            wanted.by_key(letters),
            since=since,
            progress=progress,
        )
        rows = await scan(consumer, holding(settings), holds_of(settings, refs), since=None, progress=progress)
    now = datetime.now(UTC)
    found += told.letters(rejected, refs, {entry.where: entry.ref for entry in found})
    found += holds(rows, refs, now)
    found += conflicts
    found += [told.link(link, now) for link in links]
    return choose(asked, groups, [entry for entry in found if since is None or entry.at >= since])


async def held(settings: Settings, config: Config, *, progress: Progress) -> list[Step]:
    """Everything that waits now, the longest first. Raises Transient, Fatal."""
    await check(settings, config)
    async with reader(settings.kafka) as consumer:
        rows = await scan(consumer, holding(settings), holds_of(settings), since=None, progress=progress)
    return held_now(steps(rows))


async def check(settings: Settings, config: Config) -> None:
    """The partition count must be the topics' own: it tells where a key lives."""
    wanted = topics(settings.names, config.sources, config.targets)
    await check_topics(settings.kafka, wanted, partitions=settings.partitions)


def holding(settings: Settings) -> Places:
    return {settings.names.changelog("held"): range(settings.partitions)}


def holds_of(settings: Settings, refs: Collection[Ref] | None = None) -> wanted.Keep:
    """The rows there that count; of these records, or of all."""
    settled = in_place(HOMES["held"], settings.partitions)
    if refs is None:
        return settled
    named = wanted.by_slot(refs)
    return lambda row: named(row) and settled(row)


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
