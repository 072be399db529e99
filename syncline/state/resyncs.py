"""What is to be read again from its source, and how far that has come: asked for by people, worked by the poller that
holds the object's lease."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncline.contracts.ref import Object
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements
from syncline.state.leases import Lease, LeaseLost

SQL = statements("syncline.state", "resyncs.sql")

Position = dict[str, Any]
"""A JSON object whose meaning is the source's own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """ids: these records alone; since: what changed since then; neither: everything. pipelines: those that are to write
    it again, None for all."""

    kind: Object
    ids: tuple[str, ...] | None = None
    since: datetime | None = None
    pipelines: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Resync:
    """read: records so far; remaining: those to come, None while it is not known. missing: of the wanted ids, those
    that name no record. why: what kept it from its end."""

    id: int
    wanted: Wanted
    asked_at: datetime
    position: Position | None
    read: int
    remaining: int | None
    missing: tuple[str, ...]
    why: str | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """One page of a resync, to be stored once the broker has it."""

    position: Position | None
    read: int = 0
    remaining: int | None = None
    missing: tuple[str, ...] = ()
    why: str | None = None
    done: bool = False


class Resyncs:
    """pool: one of `database.connect`, whose jsonb columns are Python values. Every method raises Transient, Fatal."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def ask(self, wanted: Wanted) -> int:
        """Returns its number; that of one that was asked for before, when nobody has begun it yet."""
        ids = None if wanted.ids is None else sorted(wanted.ids)
        pipelines = None if wanted.pipelines is None else sorted(wanted.pipelines)
        with errors("asking for a resync"):
            number: int = await self._pool.fetchval(SQL["ask"], *wanted.kind, ids, wanted.since, pipelines)
        return number

    async def next(self, kind: Object) -> Resync | None:
        """The oldest of this object that is not done."""
        with errors("reading syncline.resyncs"):
            row = await self._pool.fetchrow(SQL["next"], *kind)
        return _resync(row) if row else None

    async def store(self, lease: Lease, resync: Resync, step: Step) -> None:
        """Raises LeaseLost when the object has changed hands since."""
        said = (step.position, step.read, step.remaining, list(step.missing), step.why, step.done)
        with errors(f"storing how far the resync of {lease.kind} has come"):
            stored = await self._pool.fetchval(SQL["store"], *lease.kind, lease.fence, resync.id, *said)
        if not stored:
            raise LeaseLost(f"{lease.kind} is read by another replica now, which goes on with the resync")

    async def get(self, ids: Collection[int]) -> list[Resync]:
        with errors("reading syncline.resyncs"):
            return [_resync(row) for row in await self._pool.fetch(SQL["get"], list(ids))]

    async def unfinished(self) -> list[Resync]:
        with errors("reading syncline.resyncs"):
            return [_resync(row) for row in await self._pool.fetch(SQL["unfinished"])]

    async def cancel(self, ids: Collection[int]) -> Sequence[int]:
        """Returns those that were not done yet; the page in hand may still come."""
        with errors("cancelling a resync"):
            return [row["id"] for row in await self._pool.fetch(SQL["cancel"], list(ids))]


def _resync(row: Any) -> Resync:
    ids, pipelines = row["records"], row["pipelines"]
    wanted = Wanted(
        Object(row["system"], row["object"]),
        None if ids is None else tuple(ids),
        row["since"],
        None if pipelines is None else frozenset(pipelines),
    )
    same = {name: row[name] for name in ("id", "asked_at", "position", "read", "remaining", "why", "done_at")}
    return Resync(wanted=wanted, missing=tuple(row["missing"]), **same)
