"""Leases: which replica reads which object, for how long, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from syncline.contracts.errors import Transient
from syncline.contracts.ref import Object
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "leases.sql")


class Lease(NamedTuple):
    """fence grows each time that the object changes hands; what carries an older one comes too late."""

    kind: Object
    fence: int


class Standing(NamedTuple):
    """alive: how many replicas are, at least 1; rank: how many of them come before this one by name."""

    alive: int
    rank: int


class LeaseLost(Transient):
    """Another replica holds the object now: stop reading it."""


class Leases:
    """Those of one replica (`holder`) of one service. Every method raises Transient or Fatal."""

    def __init__(self, pool: Any, service: str, holder: str, seconds: float) -> None:
        self._pool = pool
        self._service = service
        self._holder = holder
        self.seconds = seconds
        """A lease that is not renewed for so long is free."""

    async def beat(self) -> Standing:
        """Say that this replica is alive, and see who else is."""
        with errors("beating in syncline.members"):
            return Standing(*await self._pool.fetchrow(SQL["beat"], self._service, self._holder, self.seconds))

    async def renew(self) -> set[Lease]:
        """Everything that this replica still holds, renewed."""
        with errors("renewing leases"):
            return _leases(await self._pool.fetch(SQL["renew"], self._holder, self.seconds))

    async def take(self, kinds: Collection[Object], most: int) -> set[Lease]:
        """Up to `most` of these objects that nobody holds."""
        systems, names = [kind.system for kind in kinds], [kind.name for kind in kinds]
        with errors("taking leases"):
            rows = await self._pool.fetch(SQL["take"], systems, names, self._holder, self.seconds, most)
        return _leases(rows)

    async def release(self, lease: Lease) -> None:
        """Let others have it at once; nothing happens when they already do."""
        with errors(f"releasing the lease on {lease.kind}"):
            await self._pool.execute(SQL["release"], self._holder, *lease.kind, lease.fence)

    async def leave(self) -> None:
        """No longer count for the others' fair shares."""
        with errors("leaving syncline.members"):
            await self._pool.execute(SQL["leave"], self._service, self._holder)


async def idle(pool: Any, service: str) -> int:
    """How many of its living replicas hold no lease. Raises Transient, Fatal."""
    with errors("counting idle replicas in syncline.members"):
        count: int = await pool.fetchval(SQL["idle"], service)
    return count


def _leases(rows: Any) -> set[Lease]:
    return {Lease(Object(row["system"], row["object"]), row["fence"]) for row in rows}
