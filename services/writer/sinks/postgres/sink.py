"""The sink itself: reading and matching in one snapshot, writing in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.writer.sinks import Present, Saved, Write, Written
from services.writer.sinks.postgres import sql
from services.writer.sinks.postgres.batch import Batch
from services.writer.sinks.postgres.removal import Removal
from services.writer.sinks.postgres.target import Target, load
from syncline.config.model import PostgresSystem
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Fields, Value
from syncline.hub.capture import NEVER_LOGGED, versions
from syncline.hub.records import Query
from syncline.runtime.postgres import errors
from syncline.state.database import connect

APPLICATION = "syncline-writer"
"""The capture log keeps it as the origin of our own changes."""

SNAPSHOT = {"isolation": "repeatable_read", "readonly": True}
"""Values and versions are read by two statements and belong together."""


@asynccontextmanager
async def postgres_sink(system: PostgresSystem) -> AsyncIterator[PostgresSink]:
    """Connected, and knowing the tables of every object. Raises Transient, Fatal."""
    async with connect(system.url, application=APPLICATION) as pool:
        yield PostgresSink(pool, {name: await load(pool, name, each) for name, each in system.objects.items()})


@dataclass
class PostgresSink:
    """calls: statements sent, rows: rows saved; each by `create` and `update`, for metrics."""

    pool: Any
    targets: Mapping[str, Target]
    calls: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    async def refresh(self) -> None:
        await self.pool.expire_connections()  # which remember the columns of their statements
        self.targets = {name: await load(self.pool, name, each.described) for name, each in self.targets.items()}

    def canonical(self, name: str, fields: Fields) -> Fields:
        """Raises RecordRejected for an object or a field that the hub does not have."""
        if name not in self.targets:
            raise RecordRejected(
                f"the hub has no object {name}",
                code="undefined_object",
                remedy="Add the object to pipelines.yaml, restart the writer, then retry the dead letter.",
            )
        return self.targets[name].canonical(fields)

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> dict[str, Present]:
        target = self.targets[name]
        asked = target.ids(ids)
        query = target.query(fields)
        where = f" WHERE {query.key} = ANY($1::text[]::{query.key_type}[])"
        with errors(f"reading {len(asked)} rows of {target.described.table}"):
            async with self.pool.acquire() as connection, connection.transaction(**SNAPSHOT):
                rows = await connection.fetch(query.select + where, list(asked))
                found = await _present(connection, name, query, [tuple(row) for row in rows])
        return {asked[each.id]: each for each in found}

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> list[list[Present]]:
        target = self.targets[name]
        matches: list[list[Present]] = [[] for _ in values]
        asked = [(place, texts) for place, each in enumerate(values) if all(texts := [_text(one) for one in each])]
        if not asked:
            return matches
        query = target.query({*fields, *rule})
        columns = [list(column) for column in zip(*(texts for _, texts in asked), strict=True)]
        with errors(f"matching {len(asked)} records by {', '.join(rule)} in {target.described.table}"):
            async with self.pool.acquire() as connection, connection.transaction(**SNAPSHOT):
                rows = await connection.fetch(sql.matching(query.select, query.fields, rule), *columns)
                found = await _present(connection, name, query, [tuple(row)[1:] for row in rows])
        for row, present in zip(rows, found, strict=True):
            matches[asked[row["place"] - 1][0]].append(present)
        return matches

    async def delete(self, name: str, ids: Sequence[str]) -> list[Written]:
        """Rows that others refer to are rejected one by one; the rest go in one statement."""
        target = self.targets[name]
        with errors(f"deleting {len(ids)} rows of {target.described.table}"):
            async with self.pool.acquire() as connection, connection.transaction():
                return await Removal(connection, target, self.calls, self.rows).delete(ids)

    async def write(self, name: str, writes: Sequence[Write]) -> list[Written]:
        target = self.targets[name]
        with errors(f"writing {len(writes)} rows of {target.described.table}"):
            async with self.pool.acquire() as connection, connection.transaction():
                outcomes = await Batch(connection, target, self.calls).write(writes)
        saved = [outcome for outcome in outcomes if isinstance(outcome, Saved)]
        self.rows.update("create" if each.created else "update" for each in saved)
        return outcomes


async def _present(connection: Any, name: str, query: Query, rows: Sequence[tuple[Any, ...]]) -> list[Present]:
    known = await versions(connection, name, [key for key, *_ in rows])
    shown = [(key, values, known.get(key, NEVER_LOGGED)) for key, *values in rows]
    return [
        Present(key, dict(zip(query.fields, values, strict=True)), version.text, version.time)
        for key, values, version in shown
    ]


def _text(value: Value) -> str:
    """As PostgreSQL writes it; "" for what is empty, which matches nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()
