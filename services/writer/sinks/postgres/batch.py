"""One write's transaction. Rows are locked in key order and compared with what the plan was made from, so that nobody's
change is overwritten unseen. A row that PostgreSQL refuses is found by halving the batch; its neighbours stay.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from services.writer.merge import same
from services.writer.sinks import Saved, Write, Written
from services.writer.sinks.postgres import sql
from services.writer.sinks.postgres.sql import Table
from services.writer.sinks.postgres.target import Target
from services.writer.sinks.repeats import repeats
from syncline.contracts.errors import RecordRejected, Transient
from syncline.contracts.ref import Fields
from syncline.hub.capture import NEVER_LOGGED, versions

BEGIN = "SET LOCAL lock_timeout = '10s'; SET CONSTRAINTS ALL IMMEDIATE"
"""A row that its application keeps locked must not hold up the writer for ever, and a deferred constraint must speak
at the row that breaks it, not at commit."""

ROW_FAULTS = ("09", "21", "22", "23", "27", "38", "39", "44", "54", "P0")
"""SQLSTATE classes that blame the row (its data, a constraint, a trigger) and not the statement or the server."""

REMEDIES = {
    "not_null_violation": "Map the column, give it a static value or a default, or drop its NOT NULL.",
    "unique_violation": "Another row holds this unique value: merge the two or correct one.",
    "foreign_key_violation": "The row that it refers to is missing: restore it, or correct the reference.",
    "check_violation": "A CHECK of the table refuses it: correct the value at its source or map it with a transform.",
    "string_data_right_truncation": "Shorten the value with a transform, or lengthen the column.",
    "no_data": "A trigger or rule of the table dropped the insert: exempt this service's database user.",
}
REPAIR = "Correct the value at its source, or map it with a transform, then retry the dead letter."


@dataclass(slots=True)
class Row:
    """A write on its way. id: of the row to update; None until it is inserted, or found by its key."""

    place: int
    write: Write
    id: str | None
    base: Fields
    embeds: dict[str, Fields]
    created: bool = False

    @classmethod
    def of(cls, place: int, write: Write, shown: str | None) -> Row:
        base: Fields = {}
        embeds: defaultdict[str, Fields] = defaultdict(dict)
        for name, value in write.values.items():
            embed, dot, column = name.partition(".")
            if dot:
                embeds[embed][column] = value
            else:
                base[name] = value
        return cls(place, write, shown, base, dict(embeds))


@dataclass(slots=True)
class Batch:
    """The writes of one object, in a transaction of `connection`. calls: statements sent, by kind."""

    connection: Any
    target: Target
    calls: Counter[str]
    _outcomes: dict[int, Written] = field(default_factory=dict)

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        await self.connection.execute(BEGIN)
        saved = await self._save(await self._as_expected(writes))
        known = await versions(self.connection, self.target.name, [row.id for row in saved if row.id])
        for row in saved:
            assert row.id is not None, "a saved row was updated, inserted or found"
            self._outcomes[row.place] = Saved(row.id, row.created, known.get(row.id, NEVER_LOGGED).text)
        return [self._outcomes[place] for place in range(len(writes))]

    async def _as_expected(self, writes: Sequence[Write]) -> list[Row]:
        """Locks what is to be updated; what is gone or holds something else by now is to be planned again."""
        asked = [write.id for write in writes if write.id is not None]
        shown = {each: own for own, each in self.target.ids(asked).items()}
        present = await self._locked(list(shown.values()), writes) if shown else {}
        self._outcomes.update(repeats(writes))
        rows = []
        for place, write in enumerate(writes):
            if place in self._outcomes:
                continue
            own = None if write.id is None else shown.get(write.id, "")
            now = {} if own is None else present.get(own)
            if now is None or not all(same(now[name], value) for name, value in _expected(write).items()):
                self._outcomes[place] = Transient(f"{self.target.described.table} {write.id} changed meanwhile")
            else:
                rows.append(Row.of(place, write, own))
        return rows

    async def _locked(self, ids: Sequence[str], writes: Sequence[Write]) -> Mapping[str, Fields]:
        """Of the rows that exist, what they hold of the fields that any write has an expectation of."""
        found = [row["id"] for row in await self.connection.fetch(sql.lock(self.target.base), ids)]
        touched = {name for write in writes for name in (*write.values, *_expected(write))}
        for table in self.target.embeds.values():
            if any(name.startswith(table.prefix) for name in touched):
                await self.connection.fetch(sql.lock(table), found, *table.told_apart)
        fields = {name for write in writes for name in _expected(write)}
        if not fields:
            return {each: {} for each in found}
        query = self.target.query(fields)
        where = f" WHERE {query.key} = ANY($1::text[]::{query.key_type}[])"
        rows = await self.connection.fetch(query.select + where, found)
        return {row[0]: dict(zip(query.fields, tuple(row)[1:], strict=True)) for row in rows}

    async def _save(self, rows: list[Row]) -> list[Row]:
        """The rows that were saved. A batch that is refused is undone and tried again by halves."""
        if not rows:
            return []
        try:
            async with self.connection.transaction():
                await self._attempt(rows)
                return rows
        except asyncpg.PostgresError as error:
            if str(error.sqlstate)[:2] not in ROW_FAULTS:
                raise
            refused = error
        except _NotTaken as error:
            refused = error
        for row in rows:
            if row.write.id is None:
                row.id, row.created = None, False
        if len(rows) == 1:
            self._outcomes[rows[0].place] = await self._rejection(rows[0], refused)
            return []
        half = len(rows) // 2
        return [*await self._save(rows[:half]), *await self._save(rows[half:])]

    async def _attempt(self, rows: Sequence[Row]) -> None:
        creates: defaultdict[str | None, list[Row]] = defaultdict(list)
        for row in rows:
            if row.id is None:
                creates[row.write.key[0] if row.write.key else None].append(row)
        for mark, many in creates.items():
            await (self._insert(many) if mark is None else self._upsert(mark, many))
        await self._update(self.target.base, [(row.id, row.base) for row in rows if row.base and not row.created])
        for name, table in self.target.embeds.items():
            if patches := [(row.id, row.embeds[name]) for row in rows if name in row.embeds]:
                await self._embed(table, patches)

    async def _insert(self, rows: Sequence[Row]) -> None:
        """Nothing tells a new row from another but its place, so they are taken in the order that they went in."""
        table, patches = self.target.base, [row.base for row in rows]
        self.calls["create"] += 1
        made = await self.connection.fetch(sql.insert(table, _columns(patches) or [table.key]), patches)
        if len(made) != len(rows):
            raise _NotTaken(f"{table.name} took {len(made)} of {len(rows)} rows")
        for row, record in zip(rows, made, strict=True):
            row.id, row.created = record["id"], True

    async def _upsert(self, mark: str, rows: Sequence[Row]) -> None:
        """Finds the rows that an earlier try made; they are updated like any other. Then makes those that are missing,
        and looks once more for those that somebody else made just now."""
        table = self.target.base
        wanted = {row.write.key[1]: row for row in rows if row.write.key}
        ids = await self._find(mark, list(wanted))
        if missing := [{**row.base, mark: source} for source, row in wanted.items() if source not in ids]:
            self.calls["create"] += 1
            made = await self.connection.fetch(sql.upsert(table, _columns(missing), mark), missing)
            for record in made:
                wanted[record["mark"]].created = True
            ids |= {record["mark"]: record["id"] for record in made}
        if late := [source for source in wanted if source not in ids]:
            ids |= await self._find(mark, late)
        if lost := len(wanted) - len(ids):
            raise _NotTaken(f"{table.name} took {len(wanted) - lost} of {len(wanted)} rows")
        for row in rows:
            assert row.write.key is not None
            row.id = ids[row.write.key[1]]

    async def _find(self, mark: str, sources: Sequence[str]) -> dict[str, str]:
        rows = await self.connection.fetch(sql.find(self.target.base, mark), sources)
        return {row["mark"]: row["id"] for row in rows}

    async def _update(self, table: Table, patches: Sequence[tuple[str | None, Fields]]) -> set[str]:
        """The ids whose rows there are."""
        if not patches:
            return set()
        statement = sql.update(table, _columns([patch for _, patch in patches]))
        given = [{"id": each, "patch": patch} for each, patch in patches]
        self.calls["update"] += 1
        return {row["id"] for row in await self.connection.fetch(statement, given, *table.told_apart)}

    async def _embed(self, table: Table, patches: Sequence[tuple[str | None, Fields]]) -> None:
        """Updates come first: a patch of a row that is there need not hold what a new row must."""
        there = await self._update(table, patches)
        missing = [(each, patch) for each, patch in patches if each not in there and _any_value(patch)]
        if missing:
            rows = [{**table.where, table.key: each, **patch} for each, patch in missing]
            self.calls["create"] += 1
            statement = sql.insert(table, _columns(rows), unless="ON CONFLICT DO NOTHING")
            made = {row["id"] for row in await self.connection.fetch(statement, rows)}
            await self._update(table, [(each, patch) for each, patch in missing if each not in made])

    async def _rejection(self, row: Row, error: Exception) -> RecordRejected:
        """Names the fields: by the column or constraint that the error names, else by trying each value alone."""
        if not isinstance(error, asyncpg.PostgresError):
            return RecordRejected(str(error), code="no_data", remedy=REMEDIES["no_data"])
        name = code(error)
        places = [(self.target.base, row.base)]
        places += [(self.target.embeds[name], patch) for name, patch in row.embeds.items()]
        tables = [table for table, _ in places if table.name.rpartition(".")[2] == error.table_name]
        fields = [
            f"{table.prefix}{column}"
            for table in tables
            for column in ([error.column_name] if error.column_name else table.blames.get(error.constraint_name, ()))
        ]
        if not fields and str(error.sqlstate).startswith("22"):
            fields = [
                f"{table.prefix}{column}"
                for table, patch in places
                for column in patch
                if not await self._fits(table, patch, column)
            ]
        return RecordRejected(
            f"{self.target.described.table} refused the row: {error.args[0]}",
            code=name,
            fields=tuple(fields),
            remedy=REMEDIES.get(name, REPAIR),
        )

    async def _fits(self, table: Table, patch: Fields, column: str) -> bool:
        try:
            async with self.connection.transaction():
                await self.connection.fetchval(sql.probe(table, column), {column: patch[column]})
                return True
        except asyncpg.DataError:
            return False


class _NotTaken(Exception):
    """The table silently left out rows: no error says which, halving finds them."""


def code(error: asyncpg.PostgresError) -> str:
    """PostgreSQL's name of the condition, as its appendix "Error Codes" has it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def _any_value(patch: Fields) -> bool:
    return any(value is not None for value in patch.values())


def _expected(write: Write) -> Fields:
    return write.expected or {} if write.id is not None else {}


def _columns(patches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column that any of them names, in an order of its own, so that the statement is often the same."""
    return sorted({column for patch in patches for column in patch})
