"""Sharing the objects among the replicas: each takes its fair share and gives back what is too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import structlog

from syncline.contracts.errors import Transient
from syncline.contracts.ref import Object
from syncline.runtime.waiting import pause
from syncline.state.leases import Lease, Leases

log = structlog.get_logger()

FAREWELL = 10.0
"""Seconds that a page in flight gets at shutdown before it is dropped; the next holder reads it again."""

LOOK = 1.0
"""Most seconds between two looks at who is alive and what is free: so long an object waits that somebody gave back."""

Read = Callable[[Lease, asyncio.Event], Awaitable[None]]
"""Reads one object until the event is set."""


def fair_share(objects: int, replicas: int, rank: int) -> int:
    """What the replica of this rank holds: together they hold all, and none two more than another."""
    return objects // replicas + (rank < objects % replicas)


@dataclass(frozen=True, slots=True)
class Work:
    stop: asyncio.Event
    task: asyncio.Task[None]


class Rota:
    """Runs `read` for every lease that this replica holds."""

    def __init__(
        self,
        leases: Leases,
        kinds: Collection[Object],
        read: Read,
        *,
        beat: Callable[[int], None],
        idle: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """beat: called each round with how many leases are held; idle: when it begins or ends that there are more
        replicas than objects and none is left for this one."""
        self._leases = leases
        self._kinds = kinds
        self._read = read
        self._beat = beat
        self._tell_idle = idle
        self._idle = False
        self._works: dict[Lease, Work] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Renews at each look, calling `beat` with how many are held. Returns after `stop`."""
        try:
            while not stop.is_set():
                try:
                    await self.round()
                except Transient as error:
                    log.warning("waiting for the state database", why=str(error))
                self._beat(len(self._works))
                await pause(min(LOOK, self._leases.seconds / 3), stop)
        finally:
            await self._end()

    async def round(self) -> None:
        """Look once at who is alive and what is held; start, stop and take accordingly."""
        alive, rank = await self._leases.beat()
        held = await self._leases.renew()
        for lease, work in self._works.items():
            if lease not in held:
                work.stop.set()
        share = fair_share(len(self._kinds), alive, rank)
        # A worker that is about to stop still reads, so it counts until it has given its lease back.
        for lease in sorted(self._works)[share:]:
            self._works[lease].stop.set()
        idle = sorted(lease for lease in held if lease not in self._works)
        for lease in idle:
            # Ours from before a restart under the same name.
            if len(self._works) < share and lease.kind in self._kinds:
                self._start(lease)
            else:
                await self._leases.release(lease)
        if (room := share - len(self._works)) > 0:
            for lease in await self._leases.take(self._kinds, room):
                self._start(lease)
        self._see_idle(replicas=alive)

    def _see_idle(self, replicas: int) -> None:
        idle = not self._works and replicas > len(self._kinds) > 0
        if idle == self._idle:
            return
        self._idle = idle
        self._tell_idle(idle)
        if idle:
            log.info(
                "idle",
                replicas=replicas,
                objects=len(self._kinds),
                why="every object has a reader already: this replica takes over as soon as another goes",
            )

    def _start(self, lease: Lease) -> None:
        stop = asyncio.Event()
        self._works[lease] = Work(stop, asyncio.create_task(self._work(lease, stop), name=f"read {lease.kind}"))

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        try:
            await self._read(lease, stop)
            await self._release(lease)
        finally:
            del self._works[lease]

    async def _release(self, lease: Lease) -> None:
        try:
            await self._leases.release(lease)
        except Transient as error:
            log.warning("not released: the lease runs out by itself", object=str(lease.kind), why=str(error))

    async def _end(self) -> None:
        works = dict(self._works)
        for work in works.values():
            work.stop.set()
        # Before the leases are given back: they are then in the others' shares already.
        try:
            await self._leases.leave()
        except Transient as error:
            log.warning("not signed off: the others notice by the clock", why=str(error))
        if works:
            await asyncio.wait([work.task for work in works.values()], timeout=FAREWELL)
        for lease, work in works.items():
            if not work.task.done():
                work.task.cancel()
                await asyncio.gather(work.task, return_exceptions=True)
                await self._release(lease)
