"""A Salesforce object as a source: polled by (SystemModstamp, Id), deletions included."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from msgspec.structs import replace

from services.poller.cursor import (
    READ_ALWAYS,
    Position,
    Seen,
    Window,
    advance,
    normal,
    place,
    plan_query,
    text,
    window,
)
from services.poller.ports import Queries
from services.poller.rows import Rows
from services.poller.sources import NOT_MET, Fetched, Known, Page
from services.poller.sources import Position as Stored
from syncline.contracts.errors import SessionExpired, Throttled, Transient
from syncline.contracts.ref import Object
from syncline.salesforce.errors import LocatorExpired
from syncline.salesforce.soql import Name, Names, chunks
from syncline.salesforce.versions import VERSIONS

log = structlog.get_logger()

MEMORY = 200_000
"""Event ids that are remembered for the overlap, about 40 MB an object."""
RESERVE = 0.2
"""Share of the org's daily calls that capture leaves to others."""
SLOWEST = 20.0
"""By how much polls are spread once that share is all that is left."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every record."""

Counted = tuple[list[dict[str, Any]], int]
"""Rows of a page, and how many rows the query has besides these and those before."""

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class Pace:
    """One for all objects of an org: who is throttled slows down everybody, since they share the quota."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._free = 0.0

    def hold(self, seconds: float) -> None:
        self._free = max(self._free, self._clock() + seconds)

    async def turn(self) -> None:
        while (wait := self._free - self._clock()) > 0:
            await self._sleep(wait)


def spread(interval: float, used: float) -> float:
    """Seconds between polls, used: share of the quota. Grows from half of what may be used up to `SLOWEST` times."""
    ours = 1.0 - RESERVE
    pressure = min(1.0, max(0.0, (used - ours / 2) / (ours / 2)))
    return interval * (1.0 + (SLOWEST - 1.0) * pressure**2)


class SalesforceSource:
    """days: the first run's look-back; lag, overlap, interval: seconds."""

    def __init__(
        self,
        kind: Object,
        client: Queries,
        pace: Pace,
        *,
        instance: str,
        fields: Iterable[str],
        days: float,
        lag: float,
        overlap: float,
        interval: float,
        memory: int = MEMORY,
    ) -> None:
        self.kind = kind
        self.interval = interval
        self._client = client
        self._pace = pace
        self._fields = sorted(fields)
        self._rows = Rows(kind, instance, self._fields)
        self._days = days
        self._lag = lag
        self._overlap = overlap
        self._seen = Seen(memory)
        self._settled: datetime | None = None

    async def pages(self, position: Stored | None) -> AsyncGenerator[Page, None]:
        at = Position.read(position) if position else None
        first = at is None
        now = await self._server_time()
        range_ = window(at, now=now, settled=self._settled, lag=self._lag, overlap=self._overlap, first_days=self._days)
        if range_.high < range_.low:
            return
        self._seen.forget(text(range_.low.replace(microsecond=0)))
        async for rows, _ in self._query(range_):
            changes = self._seen.fresh(self._rows.changes(rows, "snapshot" if first else None))
            at = advance(at, rows)
            if at:
                yield Page(changes, at.document())
                self._seen.forget(text(at.moment - timedelta(seconds=self._overlap)))
            # Only now are they published; a page that failed must not be taken for known when it is read again.
            self._seen.add(changes)
        if at is None:
            # Nothing in the look-back: from here on changes are changes, no longer part of a snapshot.
            yield Page([], Position(text(range_.low), "").document())
        self._settled = range_.high

    async def again(self, position: Stored | None, since: datetime | None) -> AsyncGenerator[Page, None]:
        """Position: of the last row, and `until`, which stays as it was at the beginning: what changes later comes by
        the polls. Deleted records are among them as long as they are in the recycle bin."""
        if position is None:
            settled = (await self._server_time()).replace(microsecond=0) - timedelta(seconds=self._lag)
            after, until = None, text(settled)
        else:
            after, until = Position(position["stamp"], position["id"]), position["until"]
        range_ = Window(since or BEGINNING, datetime.fromisoformat(until))
        if range_.high < range_.low:
            return
        async for rows, remaining in self._query(range_, after):
            if rows:
                at = {**place(rows[-1]).document(), "until": until}
                yield Page(self._rows.changes(rows, "snapshot"), at, remaining)

    async def fetch(self, ids: Collection[str], known: Known = NOT_MET) -> Fetched:
        """Raises Transient, Throttled, Fatal. What is in the recycle bin is missing, but for what was known: that is
        deleted. What is not there either is missing in any case: it may just be hidden from us."""
        wanted = [asked for asked in ids if _ID.fullmatch(asked)]
        settled = await self._server_time() - timedelta(seconds=self._lag)
        rows: list[dict[str, Any]] = []
        for statement in chunks(
            "SELECT {fields} FROM {name} WHERE Id IN {ids}",
            over="ids",
            ids=wanted,
            fields=Names([*READ_ALWAYS, *self._fields]),
            name=Name(self.kind.name),
        ):
            async for page, _ in self._pages(statement, include_deleted=bool(known)):
                rows += [row for row in page if not row["IsDeleted"] or row["Id"] in known]
        found = {row["Id"] for row in rows} | {row["Id"][:15] for row in rows}
        final = [row for row in rows if datetime.fromisoformat(normal(row["SystemModstamp"])) <= settled]
        changes = [
            replace(change, version=max(change.version, known.get(change.ref.id, "")))
            for change in self._rows.changes(final, "snapshot")
        ]
        return Fetched(changes, [asked for asked in ids if asked not in found])

    async def wait(self, seconds: float) -> None:
        usage = self._client.usage
        await asyncio.sleep(spread(seconds, usage.share) if usage else seconds)

    async def _server_time(self) -> datetime:
        """Asked for anew before each poll, by the one call that costs no quota: no clock of ours is ever compared with
        Salesforce's."""
        await self._pace.turn()
        await self._called(self._client.request(VERSIONS))
        if self._client.server_time is None:
            raise Transient("Salesforce's replies carry no Date: look for a proxy that removes it")
        return self._client.server_time

    async def _query(self, range_: Window, after: Position | None = None) -> AsyncGenerator[Counted, None]:
        """Pages of rows in order; when the query's locator dies, a new query goes on behind the last row."""
        while True:
            try:
                statement = plan_query(self.kind.name, self._fields, range_, after)
                async for rows, remaining in self._pages(statement, include_deleted=True):
                    yield rows, remaining
                    after = place(rows[-1]) if rows else after
                return
            except LocatorExpired:
                log.info("query continued", object=str(self.kind), after=after)

    async def _pages(self, statement: str, *, include_deleted: bool) -> AsyncGenerator[Counted, None]:
        await self._pace.turn()
        pages, seen = self._client.query(statement, include_deleted=include_deleted), 0
        while (page := await self._called(anext(pages, None))) is not None:
            seen += len(page.records)
            yield page.records, page.total - seen

    async def _called(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except Throttled as error:
            self._pace.hold(error.retry_after or self.interval)
            raise
        except SessionExpired as error:
            # The client has refreshed once already; the next pass logs in anew, and wrong credentials are Fatal.
            raise Transient(f"{self.kind}: {error}") from error
