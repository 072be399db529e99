"""The tables behind an object of the configuration, and what the database itself says about their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from syncline.contracts.catalog import ALL_RIGHTS, Catalog, FieldInfo, FieldType, Right
from syncline.contracts.errors import Fatal
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.hub", "catalog.sql")

_TYPES: dict[str, FieldType] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "citext", "uuid", "name"), "text"),
    **dict.fromkeys(("int2", "int4", "int8", "float4", "float8", "numeric"), "number"),
    "bool": "boolean",
    "date": "date",
    **dict.fromkeys(("timestamp", "timestamptz"), "datetime"),
}


class Embed(Protocol):
    """One row of another table, shown as fields `<embed>.<column>` of its owner; as in pipelines.yaml."""

    @property
    def table(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def where(self) -> Mapping[str, str | bool | int]: ...
    @property
    def columns(self) -> Sequence[str]: ...


class HubObject(Protocol):
    """An object as pipelines.yaml describes it."""

    @property
    def table(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def embed(self) -> Mapping[str, Embed]: ...


@dataclass(frozen=True, slots=True)
class Column:
    """type is PostgreSQL's own name of it (`int4`, `timestamptz`), declared as written in SQL (`varchar(80)`)."""

    type: str
    declared: str
    info: FieldInfo


Columns = dict[str, Column]


class Tables(NamedTuple):
    """The columns of an object's own table, and of each of its embeds' tables."""

    base: Columns
    embeds: dict[str, Columns]

    def column(self, field: str) -> Column | None:
        """The column behind a field: `name`, or `<embed>.<column>`."""
        embed, dot, name = field.partition(".")
        return self.embeds.get(embed, {}).get(name) if dot else self.base.get(field)


def quoted(name: str) -> str:
    """An identifier as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(name: str) -> str:
    """`schema.table` as SQL takes it."""
    schema, dot, table = name.partition(".")
    return f"{quoted(schema)}.{quoted(table)}" if dot else quoted(name)


async def describe(database: Any, described: HubObject) -> Tables:
    """Raises Fatal naming every table and column of the configuration that the database lacks."""
    base = await _columns(database, described.table)
    embeds = {name: await _columns(database, embed.table) for name, embed in described.embed.items()}
    faults = _faults(described.table, base, [described.key])
    for name, embed in described.embed.items():
        faults += _faults(embed.table, embeds[name], [embed.owner, *embed.where, *embed.columns])
    if faults:
        raise Fatal("; ".join(faults) + ": correct pipelines.yaml, or the rights of the database user")
    return Tables(base, embeds)


async def rights(database: Any, described: HubObject) -> frozenset[Right]:
    """What the user may do with records: with rows of the object's own table, and but for deletions of its embeds'.
    Raises Transient, Fatal."""
    found = set(ALL_RIGHTS)
    for table in [described.table, *(embed.table for embed in described.embed.values())]:
        with errors(f"asking for the rights on {table}"):
            row = await database.fetchrow(SQL["rights"], quoted_table(table))
        embedded = table != described.table
        found -= {right for right in ALL_RIGHTS if not row[right] and not (embedded and right == "delete")}
    return frozenset(found)


def catalog(described: HubObject, tables: Tables) -> Catalog:
    """Every field that a mapping may name. An embed's fields are never required: the row may be missing."""
    found = {name: column.info for name, column in tables.base.items()}
    for name, embed in described.embed.items():
        for column in embed.columns:
            info = tables.embeds[name][column].info
            found[f"{name}.{column}"] = FieldInfo(
                name=f"{name}.{column}",
                type=info.type,
                length=info.length,
                writable=info.writable,
                choices=info.choices,
            )
    return found


def _faults(table: str, columns: Columns, wanted: Sequence[str]) -> list[str]:
    if not columns:
        return [f"there is no table {table}"]
    return [f"table {table} has no column {name}" for name in dict.fromkeys(wanted) if name not in columns]


async def _columns(database: Any, table: str) -> Columns:
    with errors(f"describing {table}"):
        rows = await database.fetch(SQL["columns"], quoted_table(table))
    return {row["name"]: Column(row["type"], row["declared"], _info(row)) for row in rows}


def _info(row: Any) -> FieldInfo:
    kind = "text" if row["labels"] else _TYPES.get(row["type"], "other")
    return FieldInfo(
        name=row["name"],
        type="reference" if row["refers"] else kind,
        length=row["length"],
        writable=row["writable"],
        required=row["required"],
        external_id=row["is_unique"],
        choices=tuple(row["labels"]) or None,
    )
