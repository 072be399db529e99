"""How far each object has been read: stored only after the broker has what was read, and only by the lease's holder."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from syncline.contracts.ref import Object
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements
from syncline.state.leases import Lease, LeaseLost

SQL = statements("syncline.state", "cursors.sql")

Position = dict[str, Any]
"""A JSON object whose meaning is the source's own."""


class Reading(NamedTuple):
    """position, moved: None before anything was read; moved is when the position last changed. reader: the replica that
    holds the object's lease, None when nobody does."""

    kind: Object
    position: Position | None
    moved: datetime | None
    reader: str | None


class Cursors:
    """pool: one of `database.connect`, whose jsonb columns are Python values."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def load(self, kind: Object) -> Position | None:
        """None before the first read. Raises Transient, Fatal."""
        with errors(f"reading the position of {kind}"):
            position: Position | None = await self._pool.fetchval(SQL["load"], *kind)
        return position

    async def store(self, lease: Lease, position: Position) -> None:
        """Raises LeaseLost when the object has changed hands since, Transient, Fatal."""
        with errors(f"storing the position of {lease.kind}"):
            stored = await self._pool.fetchval(SQL["store"], *lease.kind, position, lease.fence)
        if not stored:
            raise LeaseLost(f"{lease.kind} is read by another replica now: this one stops, nothing is lost")

    async def all(self) -> list[Reading]:
        """Every object that was ever read or leased. Raises Transient, Fatal."""
        with errors("reading syncline.cursors"):
            rows = await self._pool.fetch(SQL["all"])
        return [Reading(Object(row[0], row[1]), *row[2:]) for row in map(tuple, rows)]
