"""SQL that shows the rows behind an object as its records: fields as JSON scalars, embeds beside them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from syncline.contracts.errors import Fatal
from syncline.hub.tables import Column, HubObject, Tables, quoted, quoted_table

KEY = "key"
"""The column of the answer that holds the record's id as text; fields follow in the order of `Query.fields`."""

_PLAIN = frozenset({"bool", "int2", "int4", "int8", "float4", "float8"})
_FORMS = {
    "numeric": "{0}::float8",
    "date": "to_char({0}, 'YYYY-MM-DD')",
    # Milliseconds are all that Salesforce keeps of a time that it is given.
    "timestamptz": """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    "timestamp": """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS.MS')""",
}


@dataclass(frozen=True, slots=True)
class Query:
    """`select` is a whole SELECT of the columns `key` and then `fields`, without WHERE; `key` is the base table's key
    column as its conditions may name it, and `key_type` the type to cast an id to, so that its index is used."""

    select: str
    fields: tuple[str, ...]
    key: str
    key_type: str


def record_query(described: HubObject, tables: Tables, fields: Iterable[str]) -> Query:
    """Raises Fatal naming every field that there is no column for."""
    wanted = tuple(sorted(fields))
    columns = {field: tables.column(field) for field in wanted}
    if missing := [field for field, column in columns.items() if column is None]:
        raise Fatal(f"{described.table} has no {', '.join(missing)}: correct pipelines.yaml, or add the column")
    shown = [
        f"{_shown(_place(field), column)} AS {quoted(f'field {at}')}"
        for at, (field, column) in enumerate(columns.items())
        if column is not None
    ]
    key = f"base.{quoted(described.key)}"
    used = {field.partition(".")[0] for field in wanted if "." in field}
    joins = [
        f"LEFT JOIN {quoted_table(embed.table)} AS {_alias(name)} ON {_alias(name)}.{quoted(embed.owner)} = {key}"
        + "".join(f" AND {_alias(name)}.{quoted(column)} = {_literal(value)}" for column, value in embed.where.items())
        for name, embed in described.embed.items()
        if name in used
    ]
    columns_shown = ", ".join([f"{key}::text AS {KEY}", *shown])
    select = f"SELECT {columns_shown} FROM {quoted_table(described.table)} AS base"  # noqa: S608 - all are quoted
    return Query(" ".join([select, *joins]), wanted, key, tables.base[described.key].declared)


def _place(field: str) -> str:
    embed, dot, name = field.partition(".")
    return f"{_alias(embed)}.{quoted(name)}" if dot else f"base.{quoted(field)}"


def _alias(embed: str) -> str:
    return quoted(f"embed {embed}")


def _shown(place: str, column: Column) -> str:
    if column.type in _PLAIN:
        return place
    return _FORMS.get(column.type, "{0}::text").format(place)


def _literal(value: str | bool | int) -> str:
    """A constant of the configuration; quoted text takes the column's type by itself."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower()
