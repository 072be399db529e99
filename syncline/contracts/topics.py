"""The topics' names and how each one is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncline.contracts.ref import Object

DAY_MS = 86_400_000
MESSAGE_BYTES = 8 * 1024 * 1024
"""The largest message on any topic. A command holds a record about three times, so events are kept to less."""
EVENT_BYTES = 1024 * 1024
"""The largest change event; a larger one becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """All names start with one prefix, so that several Synclines can share a broker."""

    prefix: str = "syncline"

    def changes(self, kind: Object) -> str:
        return f"{self.prefix}.changes.{kind.system}.{kind.name}"

    @property
    def replay(self) -> str:
        """Change events that the mapper is to take once more: what `changes` held, or what a source was asked for."""
        return f"{self.prefix}.replay"

    @property
    def mapped(self) -> str:
        return f"{self.prefix}.mapped"

    def commands(self, system: str) -> str:
        return f"{self.prefix}.commands.{system}"

    @property
    def results(self) -> str:
        return f"{self.prefix}.results"

    @property
    def requests(self) -> str:
        return f"{self.prefix}.requests"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def mapper(self) -> str:
        """The mapper's application id: its consumer group, and the start of its changelogs' names."""
        return f"{self.prefix}-mapper"

    @property
    def poller(self) -> str:
        """The consumer group of the pollers, which answer requests."""
        return f"{self.prefix}-poller"

    @property
    def writer(self) -> str:
        """The consumer group of the writers."""
        return f"{self.prefix}-writer"

    def replaying(self, name: str) -> str:
        """The consumer group of the replay of this name: how far it has come."""
        return f"{self.prefix}-replay-{name}"

    def changelog(self, table: str) -> str:
        return f"{self.mapper}-{table}-changelog"


MAPPER_TABLES = ("records", "synced", "held")


def topics(names: Names, sources: Iterable[Object], targets: Iterable[str]) -> list[Topic]:
    """Every topic of an installation. All have the same partition count, so that keys meet.

    Changes are kept by time (deltas cannot be compacted), changelogs are compacted. What is replayed is kept for a
    day: it can be replayed again.
    """
    kept = {"retention.ms": str(14 * DAY_MS), "max.message.bytes": str(MESSAGE_BYTES)}
    compacted = {
        "cleanup.policy": "compact",
        "max.message.bytes": str(MESSAGE_BYTES),
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": str(3_600_000),
        "delete.retention.ms": str(7 * DAY_MS),
    }
    return [
        *(Topic(names.changes(kind), kept) for kind in sorted(set(sources))),
        Topic(names.replay, {**kept, "retention.ms": str(DAY_MS)}),
        Topic(names.mapped, kept),
        *(Topic(names.commands(system), kept) for system in sorted(set(targets))),
        Topic(names.results, kept),
        Topic(names.requests, kept),
        Topic(names.dead_letters, kept),
        *(Topic(names.changelog(table), compacted) for table in MAPPER_TABLES),
    ]
