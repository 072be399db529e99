"""Reading the live systems: an object in whole pages, and single records of it again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from syncline.config.model import Config, HubObject, PostgresSystem, SalesforceSystem
from syncline.contracts.errors import Fatal, RecordRejected, SessionExpired, Transient
from syncline.contracts.ref import Object, Ref, Value
from syncline.hub import capture
from syncline.hub import values as hub_values
from syncline.hub.records import Query, record_query
from syncline.hub.tables import Tables, describe
from syncline.runtime.postgres import errors
from syncline.salesforce import values as salesforce_values
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import READ_ROWS
from syncline.salesforce.errors import LocatorExpired
from syncline.salesforce.soql import Name, Names, chunks, soql
from syncline.state.cursors import Position
from syncline.state.database import connect
from syncline.systems.salesforce import open_salesforce
from syncline.verify.pairing import Row

PAGE = READ_ROWS
"""Rows of a page, on both sides."""
STAMP = "SystemModstamp"
WOKEN = 1.0
"""Seconds after which a commit has woken the poller. What takes longer is told by the row's version, since no two
changes share one."""
SNAPSHOT = {"isolation": "repeatable_read", "readonly": True}
"""Rows and versions belong together."""


class Reader(Protocol):
    """One object of a live system. Every method raises Transient, Fatal."""

    @property
    def settling(self) -> float:
        """Seconds after which a change is captured."""

    def form(self, field: str, value: Value) -> Value:
        """The value as this system stores it."""

    def pages(self, fields: Collection[str]) -> AsyncIterator[list[Row]]:
        """Every record; versions are left out."""

    async def read(self, ids: Sequence[str], fields: Collection[str]) -> dict[str, Row]:
        """These records as they are now, by the ids asked for; those that are gone are left out."""

    async def removed(self, ids: Sequence[str]) -> dict[str, str]:
        """Of records that are gone, the versions in which they went, as far as the system tells."""

    def ahead(self, row: Row, position: Position | None) -> bool:
        """Whether the poller, which has read up to there, has not come to this record yet."""

    def expired(self, row: Row) -> bool:
        """Whether it last changed before the first look-back."""


@dataclass
class SalesforceReader:
    """kinds: field to `type` in the describe."""

    kind: Object
    client: Salesforce
    system: SalesforceSystem
    kinds: Mapping[str, str]

    @property
    def settling(self) -> float:
        return self.system.poll.interval + self.system.poll.lag

    def form(self, field: str, value: Value) -> Value:
        return salesforce_values.canonical(self.kinds.get(field, "string"), value)

    async def pages(self, fields: Collection[str]) -> AsyncIterator[list[Row]]:
        statement = soql("SELECT {names} FROM {name}", names=self._names(fields), name=Name(self.kind.name))
        with _reading(self.kind):
            async for page in self.client.query(statement):
                yield [self._row(record, fields) for record in page.records]

    async def read(self, ids: Sequence[str], fields: Collection[str]) -> dict[str, Row]:
        with _reading(self.kind):
            if any("." in field for field in fields):  # a parent's field, which only a query can name
                found = [record async for record in self._queried(ids, fields)]
            else:
                records = await self.client.retrieve(self.kind.name, ids, sorted({*fields, "Id", STAMP}))
                found = [record for record in records if record]
        rows = [self._row(record, fields) for record in found]
        return {row.ref.id: row for row in rows}

    async def removed(self, ids: Sequence[str]) -> dict[str, str]:
        found = self._queried(ids, (), include_deleted=True)
        with _reading(self.kind):
            return {each["Id"]: salesforce_values.version(_stamp(each)) async for each in found}

    def ahead(self, row: Row, position: Position | None) -> bool:
        return position is None or row.version > position["stamp"]

    def expired(self, row: Row) -> bool:
        days = timedelta(days=self.system.poll_days(self.kind.name))
        return datetime.fromisoformat(row.version) < self._now() - days

    async def _queried(
        self, ids: Sequence[str], fields: Collection[str], *, include_deleted: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        names = {"names": self._names(fields), "name": Name(self.kind.name)}
        for statement in chunks("SELECT {names} FROM {name} WHERE Id IN {ids}", over="ids", ids=ids, **names):
            async for page in self.client.query(statement, include_deleted=include_deleted):
                for record in page.records:
                    yield record

    def _names(self, fields: Collection[str]) -> Names:
        return Names(["Id", STAMP, *sorted(fields)])

    def _row(self, record: Mapping[str, Any], fields: Collection[str]) -> Row:
        changed = _stamp(record)
        fresh = changed > self._now() - timedelta(seconds=self.settling)
        values = {field: _value(record, field) for field in fields}
        return Row(Ref(*self.kind, record["Id"]), values, salesforce_values.version(changed), fresh)

    def _now(self) -> datetime:
        """Salesforce's own clock."""
        return self.client.server_time or datetime.now(UTC)


def _stamp(record: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(record[STAMP])


def _value(record: Mapping[str, Any], field: str) -> Value:
    value: Any = record
    for part in field.split("."):
        value = value and value[part]
    found: Value = value
    return found


@contextmanager
def _reading(kind: Object) -> Iterator[None]:
    """What the client raises of a call, as something to try again or to put right."""
    try:
        yield
    except (SessionExpired, LocatorExpired) as error:
        raise Transient(f"reading {kind}: {error}") from error
    except RecordRejected as error:
        raise Fatal(f"reading {kind}: {error}. {error.remedy}") from error


@dataclass
class PostgresReader:
    """pool: of the system's database."""

    kind: Object
    pool: Any
    described: HubObject
    tables: Tables
    settling: float = WOKEN

    def form(self, field: str, value: Value) -> Value:
        column = self.tables.column(field)
        return hub_values.canonical(column, value) if column else value

    async def pages(self, fields: Collection[str]) -> AsyncIterator[list[Row]]:
        query, after = self._query(fields), None
        while True:
            bound = f"> $1::text::{query.key_type}" if after is not None else "IS NOT NULL AND $1::text IS NULL"
            statement = f"{query.select} WHERE {query.key} {bound} ORDER BY {query.key} LIMIT {PAGE}"
            with errors(f"reading {self.described.table}"):
                rows = [tuple(row) for row in await self.pool.fetch(statement, after)]
            yield [self._row(query, row) for row in rows]
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def read(self, ids: Sequence[str], fields: Collection[str]) -> dict[str, Row]:
        query = self._query(fields)
        key = self.tables.base[self.described.key]
        asked = {shown: each for each in ids if (shown := hub_values.row_id(key, each)) is not None}
        statement = f"{query.select} WHERE {query.key} = ANY($1::text[]::{query.key_type}[])"
        with errors(f"reading {len(asked)} rows of {self.described.table}"):
            async with self.pool.acquire() as connection, connection.transaction(**SNAPSHOT):
                rows = [tuple(row) for row in await connection.fetch(statement, list(asked))]
                versions = await capture.versions(connection, self.kind.name, [row[0] for row in rows])
        found = {}
        for row in rows:
            version = versions.get(row[0], capture.NEVER_LOGGED)
            found[asked[row[0]]] = replace(self._row(query, row), version=version.text, fresh=not version.settled)
        return found

    async def removed(self, ids: Sequence[str]) -> dict[str, str]:
        with errors(f"reading the change log of {self.kind}"):
            async with self.pool.acquire() as connection:
                versions = await capture.versions(connection, self.kind.name, ids)
        return {key: version.text for key, version in versions.items()}

    def ahead(self, row: Row, position: Position | None) -> bool:
        """`key` is there as long as the whole table is being read."""
        return position is None or "key" in position or int(row.version) > position["seq"]

    def expired(self, row: Row) -> bool:
        """The first read takes the whole table."""
        del row
        return False

    def _query(self, fields: Collection[str]) -> Query:
        return record_query(self.described, self.tables, fields)

    def _row(self, query: Query, row: Sequence[Any]) -> Row:
        return Row(Ref(*self.kind, row[0]), dict(zip(query.fields, row[1:], strict=True)))


@dataclass
class Systems:
    """readers: of every object that can be read. clients: of the Salesforce systems, which count their calls."""

    readers: dict[Object, Reader]
    clients: dict[str, Salesforce]

    @property
    def calls(self) -> dict[str, Counter[str]]:
        return {
            name: Counter({str(kind): count for kind, count in client.calls.items()})
            for name, client in self.clients.items()
        }


@asynccontextmanager
async def open_systems(config: Config, kinds: Collection[Object], *, rng: random.Random) -> AsyncIterator[Systems]:
    """Connected, and knowing the fields of these objects; a system that only sends is left out. Costs Salesforce one
    describe call an object. Raises Transient, Fatal."""
    opened = Systems({}, {})
    async with AsyncExitStack() as stack:
        for name in sorted({kind.system for kind in kinds}):
            system, own = config.systems[name], sorted(kind for kind in kinds if kind.system == name)
            if isinstance(system, PostgresSystem):
                url = system.url
                pool = await stack.enter_async_context(connect(url, application="syncline-verify", size=2))
                for kind in own:
                    described = system.objects[kind.name]
                    tables = await describe(pool, described)
                    opened.readers[kind] = PostgresReader(kind, pool, described, tables)
            elif isinstance(system, SalesforceSystem):
                client = await stack.enter_async_context(open_salesforce(system, rng=rng))
                opened.clients[name] = client
                for kind in own:
                    with _reading(kind):
                        fields = (await client.describe(kind.name))["fields"]
                    kinds_of = {each["name"]: str(each["type"]) for each in fields}
                    opened.readers[kind] = SalesforceReader(kind, client, system, kinds_of)
        yield opened
