"""The partition counts that the topics had before: older messages lie where their keys lay by those."""

from __future__ import annotations

from typing import Any

from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "partitions.sql")


class FormerCounts:
    """pool: one of `database.connect`. Every method raises Transient or Fatal."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def leave(self, count: int) -> None:
        """The topics are about to have another count than this one."""
        with errors("writing syncline.partitions"):
            await self._pool.execute(SQL["leave"], count)

    async def all(self) -> list[int]:
        with errors("reading syncline.partitions"):
            return [row["count"] for row in await self._pool.fetch(SQL["former"])]
