"""Reading an object again because a person asked: a page at a time between its polls, so that live changes come first.

What is read is published on `replay` and not on the changes topic, which holds what changed and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import structlog

from services.poller.events import messages
from services.poller.ports import Publishes, ResyncStore
from services.poller.sources import Page, Source
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object
from syncline.contracts.replay import Replay
from syncline.contracts.topics import Names
from syncline.replay.window import Window
from syncline.state.leases import Lease
from syncline.state.resyncs import Resync, Step

log = structlog.get_logger()

PAGE = 2_000
"""Records that are asked for at a time, and room that a page needs before the mapper."""


@dataclass
class Resyncing:
    """`pages` goes on from one page to the next as long as nothing goes wrong in between: a query is asked once."""

    store: ResyncStore
    publisher: Publishes
    names: Names
    window: Window
    _open: dict[Object, tuple[int, AsyncGenerator[Page, None]]] = field(default_factory=dict)

    async def page(self, source: Source, lease: Lease, look: asyncio.Event) -> bool:
        """Publish the next page of the object's oldest resync. False when there is none, or no room for it before
        `look` is set. Raises Transient and LeaseLost: what is not stored is read again."""
        resync = await self.store.next(lease.kind)
        if resync is None or not await self.window.room(PAGE, look):
            return False
        try:
            step = await self._step(source, resync)
        except Fatal as error:
            log.error("resync given up", object=str(lease.kind), why=str(error))
            step = Step(resync.position, why=str(error), done=True)
            await self.leave(lease.kind)
        except BaseException:
            await self.leave(lease.kind)
            raise
        try:
            await self.store.store(lease, resync, step)
        except BaseException:
            await self.leave(lease.kind)
            raise
        if step.done and not step.why:
            log.info("resync done", object=str(lease.kind), records=resync.read + step.read)
        return True

    async def leave(self, kind: Object) -> None:
        """Whoever goes on with it begins at what is stored."""
        if open_ := self._open.pop(kind, None):
            await open_[1].aclose()

    async def _step(self, source: Source, resync: Resync) -> Step:
        if resync.wanted.ids is not None:
            return await self._records(source, resync, resync.wanted.ids)
        kind = resync.wanted.kind
        number, pages = self._open.get(kind, (None, None))
        if pages is None or number != resync.id:
            await self.leave(kind)  # of one that was cancelled meanwhile
            pages = source.again(resync.position, resync.wanted.since)
            self._open[kind] = (resync.id, pages)
        page = await anext(pages, None)
        if page is None:
            await self.leave(kind)
            return Step(resync.position, remaining=0, done=True)
        await self._publish(page, resync)
        return Step(page.position, len(page.changes), page.remaining)

    async def _records(self, source: Source, resync: Resync, ids: tuple[str, ...]) -> Step:
        """The position is how many of them are done."""
        at = int((resync.position or {"at": 0})["at"])
        asked = ids[at : at + PAGE]
        found = await source.fetch(asked)
        await self._publish(Page(found.changes, {}), resync)
        end, missing = at + len(asked), (*resync.missing, *found.missing)
        return Step({"at": end}, len(found.changes), len(ids) - end, missing, done=end >= len(ids))

    async def _publish(self, page: Page, resync: Resync) -> None:
        headers = Replay(kept=False, pipelines=resync.wanted.pipelines).headers
        await self.publisher.publish(messages(page.changes, self.names, self.names.replay), headers)
        log.info("read again", object=str(resync.wanted.kind), records=len(page.changes), remaining=page.remaining)
