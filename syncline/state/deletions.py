"""Deletions that happened and deletions that wait: a mass deletion stops and asks a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from syncline.contracts.command import Command
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "deletions.sql")


class Waiting(NamedTuple):
    pipeline: str
    deletions: int
    since: datetime


class Deletions:
    """pool: one of `database.connect`, whose jsonb columns are Python values."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def claim(self, commands: Sequence[Command]) -> list[bool]:
        """Which of these may be carried out now. The others are kept until a person consents or refuses.

        A batch that would bring a pipeline over its limit for the last hour waits as a whole: half of a mistake is no
        better. A repeat of a command gets the same answer. Raises Transient, Fatal.
        """
        if not commands:
            return []
        rows = [
            {
                "place": place,
                "pipeline": command.pipeline,
                "source": str(command.source),
                "version": command.version,
                "limit": command.delete_limit,
                "command": command.document(),
            }
            for place, command in enumerate(commands)
        ]
        with errors("counting deletions"):
            async with self._pool.acquire() as connection, connection.transaction():
                claimed = await connection.fetch(SQL["claim"], rows)
        return [row["state"] == "done" for row in claimed]

    async def block(self, commands: Sequence[Command]) -> None:
        """Rows still refer to these records: `unblock` gives them back."""
        rows = [{"pipeline": c.pipeline, "source": str(c.source), "version": c.version} for c in commands]
        with errors("keeping deletions"):
            await self._pool.execute(SQL["block"], rows)

    async def unblock(self) -> list[Command]:
        """To be tried again, since other deletions happened."""
        with errors("reading syncline.deletions"):
            return [Command.read(row["command"]) for row in await self._pool.fetch(SQL["unblock"])]

    async def waiting(self) -> list[Waiting]:
        with errors("reading syncline.deletions"):
            return [Waiting(*row) for row in await self._pool.fetch(SQL["waiting"])]

    async def decide(self, pipeline: str, *, approve: bool) -> list[Command]:
        """The commands that waited; approved ones are to be sent again."""
        with errors("deciding on deletions"):
            rows = await self._pool.fetch(SQL["decide"], pipeline, "approved" if approve else "refused")
        return [Command.read(row["command"]) for row in rows]
