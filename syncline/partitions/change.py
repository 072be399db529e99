"""`syncline partitions`: what it would do, and doing it.

In this order, so that a killed run is finished by another: the changelogs grow and their rows are moved; the other
topics grow and what nobody has handled is moved; last of all grows the topic of the dead letters, which every service
looks at before it starts. So none can start in between, whatever count it is set to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.errors import SynclineError
from syncline.contracts.topics import MAPPER_TABLES, topics
from syncline.partitions import rows, stuck, undone
from syncline.runtime.admin import add_partitions, partition_counts
from syncline.runtime.kafka import publisher
from syncline.runtime.lag import groups
from syncline.runtime.placement import Misplaced
from syncline.runtime.scan import Progress, reader
from syncline.state.database import check_migrated, connect
from syncline.state.partitions import FormerCounts


class Refused(SynclineError):
    """What a person asked for cannot be done now; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """counts: topic to its partitions now. members: consumer group to who is in it. rows: table to what lies wrong of
    it if there are `to`; undone: the same by consumer group, of what it has not handled."""

    to: int
    counts: Mapping[str, int]
    members: Mapping[str, int]
    rows: Mapping[str, Misplaced]
    undone: Mapping[str, undone.Undone]

    @property
    def needed(self) -> bool:
        return any(count != self.to for count in self.counts.values()) or self.moves

    @property
    def moves(self) -> bool:
        return any(each.total for each in self.rows.values()) or any(self.undone.values())

    @property
    def messages(self) -> int:
        """That are sent again: all of each partition that holds a misplaced one."""
        return sum(span.end - span.start for each in self.undone.values() for span in each.values())

    def check(self) -> None:
        """Raises Refused."""
        if running := [f"{name} ({count})" for name, count in self.members.items() if count]:
            raise Refused(
                f"services run, as members of {', '.join(running)}: stop every poller, mapper and writer; one that "
                "was killed counts until SYNCLINE_SESSION_TIMEOUT is over"
            )


async def look(settings: Settings, config: Config, to: int, *, progress: Progress) -> Change:
    """Changes nothing. Raises Refused, Transient."""
    names = settings.names
    wanted = [topic.name for topic in topics(names, config.sources, config.targets)]
    counts = await partition_counts(settings.kafka, wanted)
    if missing := [name for name in wanted if name not in counts]:
        raise Refused(f"{', '.join(missing)} is missing: run `syncline topics` with the present SYNCLINE_PARTITIONS")
    if most := {name: count for name, count in counts.items() if count > to}:
        name, count = max(most.items(), key=lambda each: each[1])
        raise Refused(f"{name} has {count} partitions, and Kafka takes none away: {count} is the least")
    found = await groups(settings.kafka, dict.fromkeys((names.poller, names.mapper, names.writer), ()), partitions=to)
    wrong = {}
    async with reader(settings.kafka) as consumer:
        for table in MAPPER_TABLES:
            topic = names.changelog(table)
            wrong[table] = await rows.misplaced(consumer, table, topic, counts[topic], to, progress)
    left = {
        group: await undone.misplaced(settings.kafka, group, {name: counts[name] for name in read}, to, progress)
        for group, read in _read(settings, config).items()
    }
    return Change(to, counts, {each.name: each.members for each in found}, wrong, left)


async def carry_out(
    change: Change, settings: Settings, config: Config, *, progress: Progress, say: Callable[[str], None]
) -> None:
    """May be repeated, with another look, should it be cut off. Raises Refused, Transient, Fatal."""
    change.check()
    names, to = settings.names, change.to
    async with connect(settings.database_url, application="syncline-partitions", size=1) as pool:
        await check_migrated(pool)
        if (before := min(change.counts.values())) < to:
            await FormerCounts(pool).leave(before)
    async with publisher(settings.kafka, "syncline-partitions") as publishing, reader(settings.kafka) as consumer:
        logs = {names.changelog(table): table for table in MAPPER_TABLES}
        await add_partitions(settings.kafka, list(logs), to)
        for topic, table in logs.items():
            if wrong := change.rows[table].total:
                await rows.move(consumer, publishing, topic, change.rows[table], to, progress)
                say(f"{wrong:,} rows of {table} moved")
        last = names.dead_letters
        await add_partitions(settings.kafka, [name for name in change.counts if name not in logs and name != last], to)
        for group, spans in change.undone.items():
            await undone.move(settings.kafka, publishing, group, spans, to)
        if change.messages:
            say(f"{change.messages:,} messages sent again to where they belong")
        if change.moves and (freed := await stuck.release(consumer, publishing, names, to, progress)):
            say(f"{freed:,} held records go on, since what they wait for is synced")
        await add_partitions(settings.kafka, [last], to)


def _read(settings: Settings, config: Config) -> dict[str, list[str]]:
    """What lies by its key until it is handled. Requests may be answered from any partition."""
    names = settings.names
    return {
        names.mapper: [*map(names.changes, config.sources), names.replay, names.mapped, names.results],
        names.writer: [*map(names.commands, config.targets)],
    }
