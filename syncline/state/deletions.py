"""Deletions that happened and deletions that wait: a mass deletion stops and asks a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from syncline.contracts.command import Command
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "deletions.sql")


class Stopped(NamedTuple):
    """state: `waiting` for a person's consent, or `blocked` by rows that refer to the records."""

    pipeline: str
    state: str
    deletions: int
    since: datetime


class Foreseen(NamedTuple):
    """state: of this deletion, None when it is new; recent: how many the pipeline's last hour counts."""

    state: str | None
    recent: int


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
            async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
                await connection.execute(SQL["lock"])
                claimed = await connection.fetch(SQL["claim"], rows)
        return [row["state"] == "done" for row in claimed]

    async def foresee(self, commands: Sequence[Command]) -> list[Foreseen]:
        """What `claim` would go by. Changes nothing. Raises Transient, Fatal."""
        rows = [
            {"place": place, "pipeline": c.pipeline, "source": str(c.source), "version": c.version}
            for place, c in enumerate(commands)
        ]
        with errors("reading syncline.deletions"):
            return [Foreseen(*row) for row in await self._pool.fetch(SQL["foreseen"], rows)]

    async def block(self, commands: Sequence[Command]) -> None:
        """Rows still refer to these records: `blocked` gives them back."""
        rows = [{"pipeline": c.pipeline, "source": str(c.source), "version": c.version} for c in commands]
        with errors("keeping deletions"):
            await self._pool.execute(SQL["block"], rows)

    async def blocked(self) -> list[Command]:
        """To be tried again, since other deletions happened. They stay blocked until they are claimed again, so that
        none is lost with whoever asked."""
        with errors("reading syncline.deletions"):
            return [Command.read(row["command"]) for row in await self._pool.fetch(SQL["blocked"])]

    async def stopped(self) -> list[Stopped]:
        """Those that do not go on by themselves, counted by pipeline and state."""
        with errors("reading syncline.deletions"):
            return [Stopped(*row) for row in await self._pool.fetch(SQL["stopped"])]

    async def approve(self, pipeline: str) -> list[Command]:
        """The commands that wait, are blocked, or were approved and not carried out yet: they are to be sent again."""
        return await self._decide("approve", pipeline)

    async def refuse(self, pipeline: str) -> list[Command]:
        """The commands that will not be carried out."""
        return await self._decide("refuse", pipeline)

    async def _decide(self, decision: str, pipeline: str) -> list[Command]:
        with errors("deciding on deletions"):
            return [Command.read(row["command"]) for row in await self._pool.fetch(SQL[decision], pipeline)]
