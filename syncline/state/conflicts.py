"""The record of conflicts, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.contracts.conflict import Conflict
from syncline.contracts.ref import Ref
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "conflicts.sql")


class Conflicts:
    """pool: one of `database.connect`, whose jsonb columns are Python values."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def record(self, rows: Sequence[Conflict]) -> None:
        """A conflict met again (same pipeline, source, field and version) stays as it was first recorded."""
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
            }
            for row in rows
        ]
        if documents:
            with errors("recording syncline.conflicts"):
                await self._pool.execute(SQL["record"], documents)

    async def list(self, limit: int) -> list[Conflict]:
        """Newest first."""
        with errors("reading syncline.conflicts"):
            rows = await self._pool.fetch(SQL["list"], limit)
        return [
            Conflict(**{**row, "source": Ref.parse(row["source"]), "target": Ref.parse(row["target"])}) for row in rows
        ]
