"""What a person decided about dead letters. The letters are on their topic, which is not compacted and is written by
the services alone: a mark cannot be put there, so it is here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "letters.sql")

Done = Literal["retried", "dropped"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Covers the letters about `input` up to this offset and this time; at: when it was decided, None before."""

    input: bytes
    offset: int
    written: datetime
    done: Done
    at: datetime | None = None

    def covers(self, offset: int, written: datetime) -> bool:
        return offset <= self.offset and written <= self.written


class Marks:
    """pool: one of `database.connect`."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def find(self, inputs: Collection[bytes]) -> dict[bytes, Mark]:
        """Raises Transient, Fatal."""
        if not inputs:
            return {}
        with errors("reading syncline.dead_letters"):
            rows = await self._pool.fetch(SQL["find"], list(inputs))
        return {row["input"]: Mark(**dict(row)) for row in rows}

    async def mark(self, marks: Collection[Mark], done: Done) -> None:
        """One for each input; a later decision takes the place of an earlier one. Raises Transient, Fatal."""
        columns = ([m.input for m in marks], [m.offset for m in marks], [m.written for m in marks])
        with errors("writing syncline.dead_letters"):
            await self._pool.execute(SQL["mark"], *columns, done)
