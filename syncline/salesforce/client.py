"""The client: one retry loop over the protocol, one token for all callers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import structlog

from syncline.contracts.errors import RecordRejected, SessionExpired, Transient
from syncline.runtime.backoff import delays
from syncline.salesforce import auth, collections, composite, pages, replication, versions
from syncline.salesforce.auth import Flow, Token
from syncline.salesforce.collections import Outcome, Row, Saved
from syncline.salesforce.errors import OutcomeUnknown
from syncline.salesforce.pages import Page, Record
from syncline.salesforce.protocol import Kind, Limits, Reply, Request, decipher
from syncline.salesforce.session import SharedToken
from syncline.salesforce.soql import Name
from syncline.salesforce.transport import Transport

log = structlog.get_logger()

T = TypeVar("T")

UNREADABLE = ("JSON_PARSER_ERROR", "MALFORMED")
"""Codes of a value that Salesforce cannot read, or that we cannot write as JSON: they fail all rows of a call."""

Observer = Callable[[Kind, int, float], None]
"""Told of each HTTP call: its kind, the reply's status (0: none came), seconds."""


class Salesforce:
    """One org. Every method raises Transient, OutcomeUnknown, Throttled, SessionExpired, RecordRejected or Fatal.

    login_url: the login host, or better the org's My Domain. api_version: None takes the newest that the org offers.
    app_name: what Salesforce shows as the origin of our changes. budget: seconds for all tries of one call together.
    clock: UTC now. rng: for the jitter between tries.
    """

    def __init__(
        self,
        transport: Transport,
        flow: Flow,
        *,
        login_url: str,
        clock: Callable[[], datetime],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        api_version: str | None = None,
        app_name: str = "syncline",
        budget: float = 180.0,
        on_call: Observer | None = None,
    ) -> None:
        self._transport = transport
        self._flow = flow
        self._login_url = login_url.rstrip("/")
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._monotonic = monotonic
        self._budget = budget
        self._on_call = on_call
        self._token = SharedToken(self._log_in)
        self._headers = {"Accept": "application/json", "Sforce-Call-Options": f"client={Name(app_name)}"}
        self.api_version = versions.checked(api_version) if api_version else ""
        """As `67.0`; empty until the org has been asked."""
        self.usage: Limits | None = None
        """Of the org's quota, by the latest reply that told."""
        self.server_time: datetime | None = None
        """When Salesforce sent its latest reply; known from `connect` on."""
        self.calls: Counter[Kind] = Counter()
        """HTTP calls by kind, repeated ones included."""

    async def connect(self) -> None:
        """Log in and settle the API version now, so that a wrong configuration shows at start; calls do it else."""
        await self._token.get()

    async def request(self, request: Request) -> Any:
        """Decoded JSON. Waits and repeats what may be repeated, as long as the budget lasts."""
        return await self._persist(lambda: self._authorized(request), repeatable=request.repeatable)

    async def query(
        self, soql: str, *, include_deleted: bool = False, page_size: int = pages.PAGE_SIZE
    ) -> AsyncIterator[Page]:
        """All pages, child sets complete. Raises LocatorExpired when the caller took over two days for them."""
        request = pages.query_request(soql, include_deleted=include_deleted, page_size=page_size)
        async for page in self._pages(request):
            yield page

    async def resume(self, locator: str) -> AsyncIterator[Page]:
        """The pages from a `Page.locator` on. Raises LocatorExpired."""
        async for page in self._pages(pages.next_request(locator)):
            yield page

    async def describe(self, name: str) -> dict[str, Any]:
        """Raises RecordRejected with code NOT_FOUND for an object that the user cannot see."""
        description: dict[str, Any] = await self.request(Request("GET", f"/sobjects/{Name(name)}/describe", "read"))
        return description

    async def limits(self) -> dict[str, Any]:
        """Limit to `{"Max", "Remaining"}`; up to five minutes late, and needs the permission View Setup."""
        limits: dict[str, Any] = await self.request(Request("GET", "/limits/", "read"))
        return limits

    async def updated(self, name: str, start: datetime, end: datetime) -> replication.Updated:
        return replication.read_updated(await self.request(replication.changes_request(name, "updated", start, end)))

    async def deleted(self, name: str, start: datetime, end: datetime) -> replication.Deleted:
        return replication.read_deleted(await self.request(replication.changes_request(name, "deleted", start, end)))

    async def create(self, name: str, rows: Sequence[Row]) -> list[Outcome]:
        """Never repeats a call that may have been carried out: OutcomeUnknown asks to look first."""
        return await self._save(partial(collections.create_request, name), rows)

    async def update(self, name: str, rows: Sequence[Row]) -> list[Outcome]:
        """Each row holds its `Id`."""
        return await self._save(partial(collections.update_request, name), rows)

    async def exchange(self, name: str, rows: Sequence[Row], fields: Iterable[str]) -> list[Outcome]:
        """As `update`; `Saved.before` tells what the record held of `fields` at the moment it was written.

        Looking and writing are one call, so that hardly anybody can come between. That call is never repeated while
        its outcome is unknown: what the record held before would be lost.
        """
        await self.connect()
        names = sorted(set(fields))

        async def send(part: Sequence[Row]) -> list[Outcome]:
            parts = collections.exchange_requests(name, part, names)
            request = composite.composite_request(parts, self.api_version)
            seen, saved = composite.read_composite(request, parts, await self.request(request))
            records = collections.read_retrieved(parts[0], seen, len(part))
            return [
                replace(outcome, before=record) if isinstance(outcome, Saved) else outcome
                for outcome, record in zip(collections.read_saved(parts[1], saved, len(part)), records, strict=True)
            ]

        return await self._write(send, rows)

    async def upsert(self, name: str, key: str, rows: Sequence[Row]) -> list[Outcome]:
        """key: the external-ID field; each row holds it, and no two rows the same."""
        return await self._save(partial(collections.upsert_request, name, key), rows)

    async def delete(self, ids: Sequence[str]) -> list[Outcome]:
        """Saved also for what is in the recycle bin already."""

        async def send(part: Sequence[str]) -> list[Outcome]:
            request = collections.delete_request(part)
            return collections.read_deleted(request, await self.request(request), part)

        return await self._write(send, ids)

    async def retrieve(self, name: str, ids: Sequence[str], fields: Iterable[str]) -> list[Record | None]:
        """In the order of the ids; None for one that is gone or invisible."""
        names = list(fields)
        records: list[Record | None] = []
        for start in range(0, len(ids), collections.READ_ROWS):
            part = ids[start : start + collections.READ_ROWS]
            request = collections.retrieve_request(name, part, names)
            records += collections.read_retrieved(request, await self.request(request), len(part))
        return records

    async def _save(self, build: Callable[[Sequence[Row]], Request], rows: Sequence[Row]) -> list[Outcome]:
        async def send(part: Sequence[Row]) -> list[Outcome]:
            request = build(part)
            return collections.read_saved(request, await self.request(request), len(part))

        return await self._write(send, rows)

    async def _write(self, send: Callable[[Sequence[T]], Awaitable[list[Outcome]]], rows: Sequence[T]) -> list[Outcome]:
        """An outcome for each row, in order; one call after the other, so that none fights for another's locks.

        Transient is raised as long as no row's outcome is known. Later it is the outcome of the rows that are left,
        since what was written before must not be forgotten. A call refused as a whole is the outcome of all its rows,
        but for a value that cannot be read: that refusal does not say whose it is, so halves are sent, and halves of
        them, until the bad row stands alone.
        """
        outcomes: list[Outcome] = []
        size = collections.WRITE_ROWS
        parts = deque(rows[start : start + size] for start in range(0, len(rows), size))
        while parts:
            part = parts.popleft()
            try:
                outcomes += await send(part)
            except RecordRejected as error:
                if len(part) > 1 and error.code in UNREADABLE:
                    middle = len(part) // 2
                    parts.extendleft((part[middle:], part[:middle]))
                else:
                    outcomes += [error] * len(part)
            except Transient as error:
                if not outcomes:
                    raise
                unsent = sum(map(len, parts))
                outcomes += [error] * len(part)
                outcomes += [Transient("not sent, because the call before it failed", error.retry_after)] * unsent
                break
        return outcomes

    async def _pages(self, request: Request) -> AsyncIterator[Page]:
        page = pages.read_page(await self.request(request))
        while True:
            for children in list(pages.unfinished(page.records)):
                async for more in self.resume(children.pop("nextRecordsUrl")):
                    children["records"] += more.records
                children["done"] = True
            yield page
            if page.locator is None:
                return
            page = pages.read_page(await self.request(pages.next_request(page.locator)))

    async def _persist(self, once: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        """The one retry loop: capped exponential waits with full jitter, or Salesforce's own hint, in the budget."""
        started = self._monotonic()
        waits = delays(self._rng)
        while True:
            try:
                return await once()
            except Transient as error:
                if isinstance(error, OutcomeUnknown) and not repeatable:
                    raise
                wait = max(next(waits), error.retry_after or 0.0)
                if self._monotonic() - started + wait > self._budget:
                    raise
                log.info("salesforce call repeated", reason=str(error), wait=round(wait, 3))
            await self._sleep(wait)

    async def _authorized(self, request: Request) -> Any:
        token = await self._token.get()
        try:
            return decipher(request, await self._call(request, token.instance_url, token))
        except SessionExpired:
            token = await self._token.get(expired=token)
            return decipher(request, await self._call(request, token.instance_url, token))

    async def _log_in(self) -> Token:
        try:
            token = await self._persist(self._ask_token, repeatable=True)
            if not self.api_version:
                self.api_version = await self._persist(lambda: self._ask_version(token), repeatable=True)
        except OutcomeUnknown as error:
            # Of the login, not of the call that waits for it: that one has not been sent.
            raise Transient(str(error), error.retry_after) from error
        log.info("salesforce login", instance_url=token.instance_url, api_version=self.api_version)
        return token

    async def _ask_token(self) -> Token:
        now = self._clock()
        request = auth.login_request(self._flow, self._login_url, now)
        return auth.read_token(self._flow, self._login_url, await self._call(request, self._login_url), now)

    async def _ask_version(self, token: Token) -> str:
        reply = await self._call(versions.VERSIONS, token.instance_url)
        return versions.newest(decipher(versions.VERSIONS, reply))

    async def _call(self, request: Request, base: str, token: Token | None = None) -> Reply:
        headers = {**self._headers, **request.headers}
        if token:
            headers["Authorization"] = f"Bearer {token.access_token}"
        self.calls[request.kind] += 1
        started, status = self._monotonic(), 0
        try:
            url = request.url(base, self.api_version)
            reply = await self._transport(request.method, url, headers, request.body)
            status = reply.status
        finally:
            if self._on_call:
                self._on_call(request.kind, status, self._monotonic() - started)
        self.usage = reply.usage or self.usage
        self.server_time = reply.server_time or self.server_time
        return reply
