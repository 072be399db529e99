"""The state of the whole, from consumer groups, topics and the state schema."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from syncline.config.model import Config, SalesforceSystem
from syncline.config.settings import Settings
from syncline.contracts.errors import Malformed
from syncline.contracts.topics import MAPPER_TABLES, Names
from syncline.oncall.desk import desk
from syncline.oncall.letters import Selection
from syncline.runtime.lag import Group, groups
from syncline.runtime.scan import Progress, Record, reader, stream
from syncline.salesforce.protocol import Limits
from syncline.state.conflicts import Conflicts
from syncline.state.cursors import Cursors, Reading
from syncline.state.database import check_migrated, connect
from syncline.state.deletions import Deletions, Stopped
from syncline.state.leases import idle
from syncline.state.resyncs import Resync, Resyncs
from syncline.systems.salesforce import open_salesforce
from syncline.timeline.fetched import moment
from syncline.timeline.held import Slot
from syncline.timeline.read import check, holding, holds_of


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the mapper's table `held`: how many, and since when the longest."""

    count: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Mapper:
    """One mapper's partitions: those that it serves, and those whose tables it follows so as to take them over."""

    instance: str
    serves: list[int]
    follows: list[int]


@dataclass(frozen=True, slots=True)
class Status:
    """stages: service to its consumer group. held, letters: None when they were not to be read; letters counts by
    stage and code. quota: Salesforce system to its calls of the last 24 hours; empty when it was not asked for."""

    at: datetime
    stages: dict[str, Group]
    mappers: list[Mapper]
    readings: list[Reading]
    conflicts_waiting: int
    conflicts_last_day: int
    deletions: list[Stopped]
    held: Waiting | None
    letters: Counter[tuple[str, str]] | None
    resyncs: list[Resync]
    quota: dict[str, Limits] = field(default_factory=dict)


class Holding:
    """Counts the rows of the changelog of `held`, each partition's in order; keeps a key and a time of what is held."""

    def __init__(self) -> None:
        self._since: dict[bytes, int] = {}

    def add(self, rows: Iterable[Record]) -> None:
        for row in rows:
            try:
                if Slot.parse(row.key) is None:
                    continue
            except Malformed:
                continue
            if row.value is None:
                self._since.pop(row.key, None)
            else:
                self._since.setdefault(row.key, row.timestamp)

    @property
    def waiting(self) -> Waiting:
        times = self._since.values()
        return Waiting(len(times), moment(min(times)) if times else None)


async def status(settings: Settings, config: Config, *, quota: bool, quick: bool, progress: Progress) -> Status:
    """`quota` costs one call to each Salesforce system; `quick` leaves out what needs a topic to be read whole. Raises
    Transient, Fatal."""
    await check(settings, config)
    names = settings.names
    wanted = {
        names.poller: [names.requests],
        names.mapper: [*map(names.changes, config.sources), names.replay, names.mapped, names.results],
        names.writer: [*map(names.commands, config.targets)],
    }
    found = await groups(settings.kafka, wanted, partitions=settings.partitions)
    async with connect(settings.database_url, application="syncline-status", size=1) as pool:
        await check_migrated(pool)
        known = {each.kind: each for each in await Cursors(pool).all()}
        waiting, last_day = await Conflicts(pool).counts()
        deletions = await Deletions(pool).stopped()
        resyncs = await Resyncs(pool).unfinished()
        idle_pollers = await idle(pool, "poller")
    stages = dict(zip(("poller", "mapper", "writer"), found, strict=True))
    # A poller may answer requests and still have no object to read.
    stages["poller"] = replace(stages["poller"], idle=idle_pollers)
    return Status(
        at=datetime.now(UTC),
        stages=stages,
        mappers=_mappers(found[1], names),
        readings=[known.get(kind, Reading(kind, None, None, None)) for kind in config.sources],
        conflicts_waiting=waiting,
        conflicts_last_day=last_day,
        deletions=deletions,
        held=None if quick else await _held(settings, progress),
        letters=None if quick else await _letters(settings, progress),
        resyncs=resyncs,
        quota=await _quota(config) if quota else {},
    )


def _mappers(group: Group, names: Names) -> list[Mapper]:
    """Whoever has the changelogs of a partition without its inputs follows it."""
    changelogs = set(map(names.changelog, MAPPER_TABLES))
    mappers = []
    for instance, held in sorted(group.held.items()):
        serves = {tp.partition for tp in held if tp.topic == names.mapped}
        follows = {tp.partition for tp in held if tp.topic in changelogs} - serves
        mappers.append(Mapper(instance, sorted(serves), sorted(follows)))
    return mappers


async def _held(settings: Settings, progress: Progress) -> Waiting:
    counted, counts = Holding(), holds_of(settings)
    async with reader(settings.kafka) as consumer:
        async for rows in stream(consumer, holding(settings), progress=progress):
            counted.add(filter(counts, rows))
    return counted.waiting


async def _letters(settings: Settings, progress: Progress) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    async with desk(settings) as at:
        async for found in at.letters(Selection(), progress=progress):
            counts.update((each.letter.stage, each.letter.code) for each in found)
    return counts


async def _quota(config: Config) -> dict[str, Limits]:
    """By the header of the reply, which is of this moment; what the reply itself says is up to five minutes old."""
    used: dict[str, Limits] = {}
    for name, system in config.systems.items():
        if isinstance(system, SalesforceSystem):
            async with open_salesforce(system, rng=random.SystemRandom(), budget=20.0) as client:
                daily = (await client.limits())["DailyApiRequests"]
                used[name] = client.usage or Limits(daily["Max"] - daily["Remaining"], daily["Max"])
    return used
