"""Which deletions would be carried out, by the same count as the state schema's, and none is claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from services.planner.store import Overlay
from syncline.contracts.command import Command
from syncline.state.deletions import Foreseen

DELETIONS = "deletions"


class StoredDeletions(Protocol):
    async def foresee(self, commands: Sequence[Command]) -> Sequence[Foreseen]: ...

    async def blocked(self) -> Sequence[Command]: ...


class PlannedDeletions:
    def __init__(self, stored: StoredDeletions, planned: Overlay) -> None:
        self._stored = stored
        self._planned = planned
        self._done: Counter[str] = Counter()
        """New ones that the plan let happen, by pipeline."""

    async def claim(self, commands: Sequence[Command]) -> list[bool]:
        found = await self._stored.foresee(commands)
        states = [
            row.decode() if (row := self._planned.get(DELETIONS, _key(command))) else each.state
            for command, each in zip(commands, found, strict=True)
        ]
        fresh = Counter(command.pipeline for command, state in zip(commands, states, strict=True) if state is None)
        decided = [
            state in ("approved", "blocked", "done")
            if state
            else fresh[command.pipeline] + each.recent + self._done[command.pipeline] <= command.delete_limit
            for command, each, state in zip(commands, found, states, strict=True)
        ]
        for command, state, may in zip(commands, states, decided, strict=True):
            self._done[command.pipeline] += may and state is None
        self._keep(
            commands, ["done" if may else state or "waiting" for may, state in zip(decided, states, strict=True)]
        )
        return decided

    async def block(self, commands: Sequence[Command]) -> None:
        self._keep(commands, ["blocked"] * len(commands))

    async def blocked(self) -> list[Command]:
        """Without those that the plan has tried again."""
        return [each for each in await self._stored.blocked() if self._planned.get(DELETIONS, _key(each)) is None]

    def _keep(self, commands: Sequence[Command], states: Sequence[str]) -> None:
        rows = {_key(command): state.encode() for command, state in zip(commands, states, strict=True)}
        self._planned.apply({DELETIONS: rows})


def _key(command: Command) -> bytes:
    return f"{command.pipeline}\0{command.source}\0{command.version}".encode()
