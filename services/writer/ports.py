"""What the writer asks of its storage and of Kafka; `syncline.state` and `syncline.runtime.kafka` answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref
from syncline.runtime.kafka import Message


class LinkStore(Protocol):
    async def find(self, wanted: Sequence[tuple[Ref, Object]]) -> Mapping[tuple[Ref, Object], Link]:
        """The links of these records to objects of these kinds, each seen from the record asked for."""

    async def save(self, links: Sequence[Link]) -> Sequence[bool]:
        """False where another writer was faster, or a record is linked otherwise: plan that one again."""


class ConflictStore(Protocol):
    async def record(self, rows: Sequence[Conflict]) -> None: ...


class DeletionStore(Protocol):
    async def claim(self, commands: Sequence[Command]) -> Sequence[bool]:
        """Which of these deletions may be carried out now; the others wait for a person's consent."""

    async def block(self, commands: Sequence[Command]) -> None:
        """Rows still refer to these records."""

    async def blocked(self) -> Sequence[Command]:
        """Those that are blocked, to be tried again; blocked until they are claimed."""


class Publishes(Protocol):
    async def publish(self, messages: Iterable[Message]) -> None:
        """Returns when the broker has all. Raises Transient."""
