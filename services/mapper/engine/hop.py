"""What a hop is: a pure function from a batch of records and the tables of one partition to effects.

The engine reads, sends, stores and acknowledges; a hop only computes, so that it is tested with a dict and a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct


class Reader(Protocol):
    """The tables of one partition as they were before the batch."""

    def get(self, table: str, key: bytes) -> bytes | None: ...

    def scan(self, table: str, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        """The rows whose keys start with `prefix`, in the order of their keys."""
        ...


class Said(Protocol):
    """What one hop says to a later one."""

    def encode(self) -> bytes:
        """For the way over the broker; when both hops run here it is handed over as it is."""
        ...


class Input(Struct, frozen=True, gc=False):
    """One record as it was fetched, or handed over. `timestamp` is in milliseconds since 1970, as Kafka has it.

    `value`: bytes or None from a topic; of a private topic of the hop also what an earlier hop said, as it said it.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: Any
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()


class Output(Struct, frozen=True, gc=False):
    """One record to send. `partition` None: murmur2 of the key, as every other producer of the system does.

    `value`: bytes, or to a private topic of a later hop anything Said.
    """

    topic: str
    key: bytes
    value: Any
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """All that a batch does. `changes`: table -> key -> new value, None deletes the row."""

    changes: dict[str, dict[bytes, bytes | None]] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hop:
    """A step of the mapper. A table belongs to one hop.

    Every topic and table of a hop has the same partition count; `run` sees one batch of one topic-partition and the
    rows of that partition number only. `run` must be pure: after a crash the same batch runs again over the same rows.
    """

    name: str
    topics: tuple[str, ...]
    tables: tuple[str, ...]
    run: Callable[[Sequence[Input], Reader], Effects]
    private: tuple[str, ...] = ()
    """Those of the topics that nobody else reads: what an earlier hop says there may be handed over unpublished."""


def changelog_topic(app_id: str, table: str) -> str:
    """The compacted topic that holds a table. Whoever creates the topics makes it, with as many partitions as they."""
    return f"{app_id}-{table}-changelog"
