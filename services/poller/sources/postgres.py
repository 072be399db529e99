"""The hub as a source: the rows behind its change log, each page read in one snapshot."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from services.poller.sources import NOT_MET, Fetched, Known, Page, Position
from syncline.contracts.change import Change, Op
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Fields, Object, Ref
from syncline.hub import capture
from syncline.hub.capture import NEVER_LOGGED, Version
from syncline.hub.records import Query, record_query
from syncline.hub.tables import HubObject, describe
from syncline.runtime.backoff import delays
from syncline.runtime.postgres import Url, errors, new_pool
from syncline.runtime.waiting import pause, until

log = structlog.get_logger()

RETENTION = 7 * 86_400.0
"""Seconds that superseded rows of the change log are kept, for people who look into it."""
PRUNE_EVERY = 3_600.0


class PostgresSource:
    """The position is {"xid", "seq"} of the last log row that was read; while the first snapshot is under way, also
    "key", the last record of it (None before the first)."""

    def __init__(
        self,
        kind: Object,
        pool: Any,
        described: HubObject,
        fields: Iterable[str],
        *,
        instance: str,
        interval: float,
        touched: asyncio.Event,
        most: int = 2_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.interval = interval
        self._pool = pool
        self._described = described
        self._fields = sorted(fields)
        self._known: Query | None = None
        self._instance = instance
        self._touched = touched
        self._most = most
        self._clock = clock
        self._pruned = clock()

    async def pages(self, position: Position | None) -> AsyncGenerator[Page, None]:
        """Raises Fatal when the position is of another database."""
        query = await self._query()
        async with self._snapshot() as connection:
            horizon, newest = await capture.horizon(connection)
        if position is None:
            # Whatever is uncommitted now stays out of the snapshot, and is found in the log from here on.
            position = {"xid": horizon, "seq": 0, "key": None}
        elif int(position["xid"]) > int(newest):
            raise Fatal(
                f"{self.kind} was read up to transaction {position['xid']}, but the database is only at {newest}: it "
                f"was restored or replaced. Delete the row of {self.kind} in syncline.cursors to read it all again"
            )
        while page := await self._next(query, position):
            yield page
            position = page.position
        if self._clock() - self._pruned > PRUNE_EVERY:
            self._pruned = self._clock()
            await capture.prune(self._pool, self.kind.name, position["xid"], RETENTION)

    async def again(self, position: Position | None, since: datetime | None) -> AsyncGenerator[Page, None]:
        """The table by its key, then the log, whose records that are in the table no more were deleted; with `since`
        the log alone. Position: `key`, the last one that was read, and whether `of` is the table or the log."""
        query = await self._query()
        at = position or {"of": "log" if since else "table", "key": None}
        left = await self._count(query, at["key"]) if at["of"] == "table" else None
        while True:
            following = self._again_of_table(query, at) if at["of"] == "table" else self._again_of_log(query, at, since)
            page, more = await following
            left = None if left is None or page.position["of"] == "log" else max(0, left - self._most)
            yield page._replace(remaining=left)
            if not more:
                return
            at = page.position

    async def fetch(self, ids: Collection[str], known: Known = NOT_MET) -> Fetched:
        query = await self._query()
        keys = {asked: _canonical(asked, query.key_type) for asked in ids}
        wanted = [key for key in keys.values() if key is not None]
        async with self._snapshot() as connection:
            records = await _records(connection, query, wanted)
            gone = [key for asked, key in keys.items() if key is not None and asked in known and key not in records]
            versions = await capture.versions(connection, self.kind.name, [*records, *gone])
        floors = {key: known.get(asked, "") for asked, key in keys.items()}
        changes = []
        for key in (*records, *gone):
            version = versions.get(key, NEVER_LOGGED)
            if version.settled:
                op: Op = "snapshot" if key in records else "delete"
                version = version._replace(text=max(version.text, floors[key]))
                changes.append(self._change(key, version, records.get(key, {}), op))
        there = {*records, *gone}
        return Fetched(changes, [asked for asked, key in keys.items() if key not in there])

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._touched.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self._touched.clear()

    async def _query(self) -> Query:
        """Asked of the database at first use and after trouble, so that one that is down delays only its own objects
        and one that was put right needs no restart."""
        if self._known is None:
            await capture.check_installed(self._pool, {self.kind.name: self._described})
            self._known = record_query(self._described, await describe(self._pool, self._described), self._fields)
        return self._known

    async def _next(self, query: Query, position: Position) -> Page | None:
        following = self._next_of_all if "key" in position else self._next_of_log
        return await following(query, position)

    async def _next_of_all(self, query: Query, position: Position) -> Page:
        records, versions, last = await self._part(query, position["key"])
        changes = [
            self._change(key, versions.get(key, NEVER_LOGGED), fields, "snapshot") for key, fields in records.items()
        ]
        rest = {"xid": position["xid"], "seq": position["seq"]}
        return Page(changes, {**rest, "key": last} if len(records) == self._most else rest)

    async def _part(self, query: Query, after: str | None) -> tuple[dict[str, Fields], dict[str, Version], str | None]:
        """The records behind a key, in the order of keys, their versions, and the last one's key."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(
                f"{query.select} {_behind(query, after)} ORDER BY {query.key} LIMIT {self._most}", after
            )
            records = _read(query, rows)
            versions = await capture.versions(connection, self.kind.name, list(records))
        return records, versions, rows[-1][0] if rows else None

    async def _count(self, query: Query, after: str | None) -> int:
        async with self._snapshot() as connection:
            behind = f"{query.select} {_behind(query, after)}"
            count: int = await connection.fetchval(f"SELECT count(*) FROM ({behind}) AS counted", after)  # noqa: S608
        return count

    async def _again_of_table(self, query: Query, at: Position) -> tuple[Page, bool]:
        """A page, and that there is another. What is not settled changed just now, and comes by the next poll."""
        records, versions, last = await self._part(query, at["key"])
        changes = [
            self._change(key, version, fields, "snapshot")
            for key, fields in records.items()
            if (version := versions.get(key, NEVER_LOGGED)).settled
        ]
        more = len(records) == self._most
        return Page(changes, {"of": "table", "key": last} if more else {"of": "log", "key": None}), True

    async def _again_of_log(self, query: Query, at: Position, since: datetime | None) -> tuple[Page, bool]:
        """Without `since` only deletions: the records that are there came from the table."""
        async with self._snapshot() as connection:
            keys = await capture.touched(connection, self.kind.name, at["key"], since, self._most)
            records = await _records(connection, query, keys)
            versions = await capture.versions(connection, self.kind.name, keys)
        changes = [
            self._change(key, versions[key], records.get(key, {}), "snapshot" if key in records else "delete")
            for key in keys
            if versions[key].settled and (since or key not in records)
        ]
        return Page(changes, {"of": "log", "key": keys[-1] if keys else at["key"]}), len(keys) == self._most

    async def _next_of_log(self, query: Query, position: Position) -> Page | None:
        async with self._snapshot() as connection:
            found = await capture.logged(connection, self.kind.name, position["xid"], position["seq"], self._most)
            if not found:
                return None
            # In the order of seq a parent comes before the children that were made after it.
            keys = list(dict.fromkeys(each.key for each in sorted(found)))
            records = await _records(connection, query, keys)
            versions = await capture.versions(connection, self.kind.name, keys)
        changes = [
            self._change(key, versions[key], records[key], "update")
            if key in records
            else self._change(key, versions[key], {}, "delete")
            for key in keys
        ]
        return Page(changes, {"xid": found[-1].xid, "seq": found[-1].seq})

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Any, None]:
        """Rows and versions are of one moment: a version must never be newer than the row that carries it."""
        try:
            with errors(f"reading {self.kind}"):
                async with (
                    self._pool.acquire() as connection,
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    yield connection
        except Fatal:
            self._known = None
            raise

    def _change(self, key: str, version: Version, fields: Fields, op: Op) -> Change:
        return Change(
            ref=Ref(*self.kind, key),
            instance=self._instance,
            op=op,
            version=version.text,
            time=version.time,
            fields=fields,
            origin=version.origin,
        )


def _behind(query: Query, after: str | None) -> str:
    """`after` is the statement's one argument."""
    return f"WHERE {query.key} > $1::text::{query.key_type}" if after is not None else "WHERE $1::text IS NULL"


async def _records(connection: Any, query: Query, keys: Sequence[str]) -> dict[str, Fields]:
    condition = f"WHERE {query.key} = ANY($1::text[]::{query.key_type}[])"
    return _read(query, await connection.fetch(f"{query.select} {condition}", keys))


def _read(query: Query, rows: Sequence[Any]) -> dict[str, Fields]:
    return {row[0]: dict(zip(query.fields, tuple(row)[1:], strict=True)) for row in rows}


def _canonical(id: str, key_type: str) -> str | None:  # noqa: A002
    """The key as the database prints it; None when no key of that type can look like this."""
    try:
        if key_type == "uuid":
            return str(UUID(id))
        if key_type in {"smallint", "integer", "bigint"}:
            bits = {"smallint": 16, "integer": 32, "bigint": 64}[key_type]
            return str(int(id)) if -(2 ** (bits - 1)) <= int(id) < 2 ** (bits - 1) else None
    except ValueError:
        return None
    return id


@asynccontextmanager
async def open_pool(url: Url, *, size: int) -> AsyncGenerator[Any, None]:
    """Connects at first use, so that a database that is down delays nobody else. Raises Fatal for a URL, or files that
    it names, that cannot be used."""
    async with new_pool(url, application="syncline-poller", least=0, most=size) as pool:
        yield pool


class Notifications:
    """One LISTEN for all objects of a database: sets an object's event when a statement touched it.

    They only shorten the wait: what is lost with a connection is found by the next look at the log.
    """

    def __init__(self, pool: Any, names: Collection[str]) -> None:
        self._pool = pool
        self.touched = {name: asyncio.Event() for name in names}

    async def listen(self, stop: asyncio.Event, rng: random.Random) -> None:
        """Connects again whenever the connection is lost."""
        waits = delays(rng)
        while not stop.is_set():
            try:
                await self._listen_once(stop)
            except Transient as error:
                wait = next(waits)
                log.warning("not woken by the database, only by the clock", why=str(error), seconds=round(wait, 1))
                await pause(wait, stop)
            else:
                waits = delays(rng)

    async def _listen_once(self, stop: asyncio.Event) -> None:
        lost = asyncio.Event()

        def on_loss(_: Any) -> None:
            lost.set()

        with errors("listening for changes"):
            async with self._pool.acquire() as connection:
                connection.add_termination_listener(on_loss)
                await connection.add_listener(capture.CHANNEL, self._on_touch)
                try:
                    for event in self.touched.values():
                        event.set()
                    await until(stop, lost.wait())
                finally:
                    connection.remove_termination_listener(on_loss)
                    if not connection.is_closed():
                        await connection.remove_listener(capture.CHANNEL, self._on_touch)

    def _on_touch(self, _: Any, __: int, ___: str, name: str) -> None:
        if name in self.touched:
            self.touched[name].set()
