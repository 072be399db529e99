"""An object of the hub as something to write to: its tables, their defaults, and whom their errors blame."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from services.writer.sinks.postgres.sql import Table
from syncline.config.model import HubObject
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Fields
from syncline.hub.records import Query, record_query
from syncline.hub.tables import Column, Tables, describe, quoted_table
from syncline.hub.values import canonical, row_id
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("services.writer.sinks.postgres", "target.sql")


@dataclass(frozen=True, slots=True)
class Target:
    """name: the object's, as the capture log has it. embeds: by their names, which their fields start with."""

    name: str
    described: HubObject
    tables: Tables
    base: Table
    embeds: Mapping[str, Table]

    def canonical(self, fields: Fields) -> Fields:
        """Raises RecordRejected for a field that there is no column for."""
        columns = {field: self.tables.column(field) for field in fields}
        if missing := tuple(field for field, column in columns.items() if column is None):
            raise RecordRejected(
                f"{self.described.table} has no column for {', '.join(missing)}",
                code="undefined_column",
                fields=missing,
                remedy="Add the column or correct the mapping, restart the writer, then retry the dead letter.",
            )
        return {field: canonical(column, fields[field]) for field, column in columns.items() if column}

    def query(self, fields: Collection[str]) -> Query:
        return record_query(self.described, self.tables, fields)

    def ids(self, asked: Collection[str]) -> dict[str, str]:
        """Ids as the table shows them, to the ids asked for; those that cannot be any row's are left out."""
        column = self.tables.base[self.described.key]
        return {shown: each for each in asked if (shown := row_id(column, each)) is not None}


async def load(database: Any, name: str, described: HubObject) -> Target:
    """Raises Fatal naming what the database lacks, Transient when it cannot be reached."""
    tables = await describe(database, described)
    base = await _table(database, described.table, described.key, tables.base, {}, "")
    embeds = {
        each: await _table(database, embed.table, embed.owner, tables.embeds[each], embed.where, f"{each}.")
        for each, embed in described.embed.items()
    }
    return Target(name, described, tables, base, embeds)


async def _table(
    database: Any,
    name: str,
    key: str,
    columns: Mapping[str, Column],
    where: Mapping[str, str | bool | int],
    prefix: str,
) -> Table:
    with errors(f"describing {name}"):
        defaults = await database.fetch(SQL["defaults"], quoted_table(name))
        blames = await database.fetch(SQL["blames"], quoted_table(name))
    return Table(
        name=name,
        key=key,
        key_type=columns[key].declared,
        where=where,
        where_types={column: columns[column].declared for column in where},
        defaults={row["name"]: row["expression"] for row in defaults},
        blames={row["name"]: tuple(row["columns"]) for row in blames},
        prefix=prefix,
    )
