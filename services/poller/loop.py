"""Reading one object for as long as its lease is held: publish a page, wait for the broker, store the position."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import datetime

import structlog

from services.poller.events import messages
from services.poller.metrics import Metrics
from services.poller.ports import CursorStore, Publishes
from services.poller.resync import Resyncing
from services.poller.sources import Page, Source
from syncline.contracts.errors import SynclineError, Throttled, Transient
from syncline.contracts.ref import Object
from syncline.contracts.topics import Names
from syncline.runtime.backoff import delays
from syncline.runtime.waiting import pause, until
from syncline.state.leases import Lease, LeaseLost

log = structlog.get_logger()

PAUSE = 300.0
"""Seconds between two tries of an object that needs a person: no restart is needed once it is put right."""


class Loop:
    """`read` handles every error itself: trouble with one object never stops another."""

    def __init__(
        self,
        sources: Mapping[Object, Source],
        cursors: CursorStore,
        publisher: Publishes,
        names: Names,
        metrics: Metrics,
        *,
        resyncing: Resyncing,
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._sources = sources
        self._cursors = cursors
        self._publisher = publisher
        self._names = names
        self._metrics = metrics
        self._resyncing = resyncing
        self._now = now
        self._rng = rng

    async def read(self, lease: Lease, stop: asyncio.Event) -> None:
        """Returns between two pages after `stop` is set, or when another replica holds the object."""
        source, kind = self._sources[lease.kind], str(lease.kind)
        log.info("reading", object=kind, fence=lease.fence)
        waits = delays(self._rng, first=0.5)
        try:
            while not stop.is_set():
                try:
                    await self._pass(source, lease, stop)
                    self._metrics.polls.labels(*lease.kind, "done").inc()
                    self._metrics.paused.labels(*lease.kind).set(0)
                    self._metrics.lag.labels(*lease.kind).set(0)
                    waits = delays(self._rng, first=0.5)
                    await self._rest(source, lease, stop)
                except LeaseLost as error:
                    log.warning("lease lost", object=kind, why=str(error))
                    return
                except Transient as error:
                    wait = max(next(waits), error.retry_after or 0.0)
                    outcome = "throttled" if isinstance(error, Throttled) else "failed"
                    self._metrics.polls.labels(*lease.kind, outcome).inc()
                    log.warning("waiting", object=kind, why=str(error), seconds=round(wait, 1))
                    await pause(wait, stop)
                except Exception as error:
                    self._metrics.polls.labels(*lease.kind, "paused").inc()
                    self._metrics.paused.labels(*lease.kind).set(1)
                    trace = not isinstance(error, SynclineError)
                    log.error("paused", object=kind, why=str(error), next_try_seconds=PAUSE, exc_info=trace)
                    await pause(PAUSE, stop)
        finally:
            await self._resyncing.leave(lease.kind)
            self._metrics.forget(lease.kind)

    async def _rest(self, source: Source, lease: Lease, stop: asyncio.Event) -> None:
        """Until it is time for the next look; meanwhile pages of a resync, if there is one."""
        look = asyncio.Event()

        async def wait() -> None:
            await until(stop, source.wait(source.interval))

        waiting = asyncio.create_task(wait())
        waiting.add_done_callback(lambda _: look.set())
        try:
            while not look.is_set() and await self._resyncing.page(source, lease, look):
                pass
            await waiting
        finally:
            waiting.cancel()

    async def _pass(self, source: Source, lease: Lease, stop: asyncio.Event) -> None:
        """Everything that is there now. The position is read anew, so that a person may set it back at any time."""
        position = await self._cursors.load(lease.kind)
        async with aclosing(source.pages(position)) as pages:
            async for page in pages:
                await self._publish(page, lease.kind)
                if page.position != position:
                    await self._cursors.store(lease, page.position)
                    position = page.position
                if stop.is_set():
                    return

    async def _publish(self, page: Page, kind: Object) -> None:
        if not page.changes:
            return
        sent = messages(page.changes, self._names)
        await self._publisher.publish(sent)
        rejected = sum(message.topic == self._names.dead_letters for message in sent)
        if rejected:
            self._metrics.dead_letters.labels(*kind).inc(rejected)
            log.warning("dead letters", object=str(kind), count=rejected, topic=self._names.dead_letters)
        for op, count in Counter(change.op for change in page.changes).items():
            self._metrics.events.labels(*kind, op).inc(count)
        log.info("published", object=str(kind), events=len(sent) - rejected, position=page.position)
        if times := [change.time for change in page.changes if change.op != "snapshot"]:
            oldest = datetime.fromisoformat(min(times))
            self._metrics.lag.labels(*kind).set(max(0.0, (self._now() - oldest).total_seconds()))
