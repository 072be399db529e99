"""The record of conflicts, for a person to look at and, where the policy leaves it to them, to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncline.contracts.conflict import Conflict
from syncline.contracts.ref import Ref
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "conflicts.sql")


@dataclass(frozen=True, slots=True)
class Recorded:
    """id is the person's name for it; resolved: the system that a person let win, None while nobody has."""

    id: int
    conflict: Conflict
    resolved: str | None
    at: datetime


class Conflicts:
    """pool: one of `database.connect`, whose jsonb columns are Python values."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def record(self, rows: Sequence[Conflict]) -> None:
        """A conflict met again (same pipeline, source, field, version and values) stays as it was first recorded."""
        documents = [
            {
                "pipeline": row.pipeline,
                "source": str(row.source),
                "target": str(row.target),
                "field": row.field,
                "agreed": row.agreed,
                "incoming": row.incoming,
                "present": row.present,
                "decided": row.decided,
                "version": row.version,
                "source_time": row.source_time,
                "target_time": row.target_time,
                "inputs": row.inputs,
            }
            for row in rows
        ]
        if documents:
            with errors("recording syncline.conflicts"):
                await self._pool.execute(SQL["record"], documents)

    async def list(self, limit: int, *, waiting: bool = False) -> list[Recorded]:
        """Newest first; `waiting` only those that a person has to decide."""
        with errors("reading syncline.conflicts"):
            return [_recorded(row) for row in await self._pool.fetch(SQL["list"], limit, waiting)]

    async def about(self, pipelines: Sequence[str], sources: Sequence[Ref]) -> Sequence[Recorded]:
        """Those of these records in these pipelines, oldest first. Raises Transient, Fatal."""
        with errors("reading syncline.conflicts"):
            rows = await self._pool.fetch(SQL["about"], list(pipelines), list(map(str, sources)))
        return [_recorded(row) for row in rows]

    async def get(self, id: int) -> Recorded | None:  # noqa: A002 - what people call it
        with errors("reading syncline.conflicts"):
            row = await self._pool.fetchrow(SQL["get"], id)
        return _recorded(row) if row else None

    async def alike(self, id: int) -> Sequence[int]:  # noqa: A002
        """The waiting conflicts that the decision on this one decides as well, itself among them."""
        with errors("reading syncline.conflicts"):
            return [row["id"] for row in await self._pool.fetch(SQL["alike"], id)]

    async def resolve(self, ids: Sequence[int], winner: str) -> None:
        """Note that a person decided; once is enough."""
        with errors("resolving a conflict"):
            await self._pool.execute(SQL["resolve"], ids, winner)

    async def counts(self) -> tuple[int, int]:
        """How many wait for a person, and how many were recorded in the last 24 hours. Raises Transient, Fatal."""
        with errors("reading syncline.conflicts"):
            row = await self._pool.fetchrow(SQL["counts"])
        return row["waiting"], row["last_day"]


def _recorded(row: Any) -> Recorded:
    fields = {name: row[name] for name in Conflict.__dataclass_fields__}
    sides = {"source": Ref.parse(row["source"]), "target": Ref.parse(row["target"]), "inputs": tuple(row["inputs"])}
    return Recorded(row["id"], Conflict(**{**fields, **sides}), row["resolved"], row["at"])
