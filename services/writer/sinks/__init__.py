"""What the writer asks of a system that it writes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from syncline.contracts.errors import RecordRejected, Transient
from syncline.contracts.ref import Fields, Value


@dataclass(frozen=True, slots=True)
class Present:
    """What a target record holds now. version and time are the system's own, in the form of its change events."""

    id: str
    values: Fields
    version: str
    time: str


@dataclass(frozen=True, slots=True)
class Write:
    """id None creates: `key` then is (external-ID field, source's id), by which a repeat finds what it made before.

    expected: the values that were read just now; a sink that can compare and set refuses to overwrite others.
    """

    id: str | None
    values: Fields
    key: tuple[str, str] | None = None
    expected: Fields | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """version: the target's, no later than what this write itself produced: any event with an older one was
    captured before the write. before: what the record held when it was written over, from a sink that cannot compare
    and set but can look while it writes."""

    id: str
    created: bool
    version: str
    before: Present | None = None


Written = Saved | RecordRejected | Transient
"""Of one row: Transient asks for the row to be planned again (locked, changed meanwhile), it was not written."""


class Sink(Protocol):
    """calls: write calls or statements sent, rows: rows saved; each by operation, for metrics."""

    calls: Counter[str]
    rows: Counter[str]

    async def refresh(self) -> None:
        """Read the schema anew. Raises Transient, Fatal."""

    def canonical(self, name: str, fields: Fields) -> Fields:
        """The values as the system would store them (Salesforce trims text and keeps blanks as null)."""

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> Mapping[str, Present]:
        """Present values of existing records of object `name`; absent when gone. Raises Transient, Fatal."""

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> Sequence[Sequence[Present]]:
        """For each tuple of values, the records whose `rule` fields hold them (text without regard to case)."""

    async def delete(self, name: str, ids: Sequence[str]) -> Sequence[Written]:
        """In order; what is gone already counts as deleted. Raises Transient, Fatal."""

    async def write(self, name: str, writes: Sequence[Write]) -> Sequence[Written]:
        """In order, one outcome a write; a rejected row leaves its neighbours alone. Raises Transient, Fatal."""
