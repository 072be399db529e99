"""The hub sink's statements, pure: each takes a whole batch as one JSON array, whatever fields its rows have."""

# ruff: noqa: S608 - values are parameters; the names pasted here are quoted or come from PostgreSQL's own catalog

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncline.hub.tables import quoted, quoted_table

ROW = '"syncline row"'
"""Alias of the written table. As a value it is the whole row, so it must not be the name of any column."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that patches go to. key: the column that names its rows (of an embed: the owner's); where: what tells an
    embed's row from the owner's others; types: as SQL writes them; defaults: the SQL that a column takes when it is
    not given; blames: constraint to its columns; prefix: what its columns' fields start with."""

    name: str
    key: str
    key_type: str
    where: Mapping[str, str | bool | int]
    where_types: Mapping[str, str]
    defaults: Mapping[str, str]
    blames: Mapping[str, tuple[str, ...]]
    prefix: str = ""

    @property
    def told_apart(self) -> list[str]:
        """The parameters after $1."""
        return [value if isinstance(value, str) else str(value).lower() for value in self.where.values()]


def lock(table: Table) -> str:
    """$1 ids as text[], then `told_apart`. In key order, so that two batches never deadlock.

    The lock on an owner also keeps others from adding a row that refers to it.
    """
    key = _column(table.key)
    return (
        f"SELECT {key}::text AS id FROM {quoted_table(table.name)} AS {ROW}"
        f" WHERE {key} = ANY($1::text[]::{table.key_type}[]){_told_apart(table)} ORDER BY {key} FOR UPDATE"
    )


def find(table: Table, mark: str) -> str:
    """$1 values of the column `mark` as text[]; locks what it finds, in key order."""
    key = _column(table.key)
    return (
        f"SELECT {key}::text AS id, {_column(mark)}::text AS mark FROM {quoted_table(table.name)} AS {ROW}"
        f" WHERE {_column(mark)}::text = ANY($1::text[]) ORDER BY {key} FOR UPDATE"
    )


def delete(table: Table) -> str:
    """$1 ids as text[]."""
    key = _column(table.key)
    return (
        f"DELETE FROM {quoted_table(table.name)} AS {ROW} WHERE {key} = ANY($1::text[]::{table.key_type}[])"
        f" RETURNING {key}::text AS id"
    )


def update(table: Table, columns: Sequence[str]) -> str:
    """$1 [{"id", "patch"}], then `told_apart`. A column that a row's patch lacks keeps its value; null clears."""
    names = ", ".join(map(quoted, columns))
    values = ", ".join(f"filled.{quoted(column)}" for column in columns)
    return (
        f"UPDATE {quoted_table(table.name)} AS {ROW}"
        f" SET ({names}) = (SELECT {values} FROM jsonb_populate_record({ROW}, given.patch) AS filled)"
        " FROM jsonb_to_recordset($1::jsonb) AS given (id text, patch jsonb)"
        f" WHERE {_column(table.key)} = given.id::{table.key_type}{_told_apart(table)}"
        f" RETURNING {_column(table.key)}::text AS id"
    )


def insert(table: Table, columns: Sequence[str], *, unless: str = "") -> str:
    """$1 [patch]. A column that a patch lacks takes its default; new rows come back in the order of their patches.

    unless: an ON CONFLICT clause; what it leaves alone does not come back.
    """
    values = [
        f"CASE WHEN jsonb_exists(given.patch, {_literal(column)}) THEN filled.{quoted(column)} ELSE {default} END"
        if (default := table.defaults.get(column))
        else f"filled.{quoted(column)}"
        for column in columns
    ]
    return (
        f"INSERT INTO {quoted_table(table.name)} AS {ROW} ({', '.join(map(quoted, columns))})"
        f" SELECT {', '.join(values)} FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS given (patch, place),"
        f" jsonb_populate_record(NULL::{quoted_table(table.name)}, given.patch) AS filled ORDER BY given.place"
        f" {unless} RETURNING {_column(table.key)}::text AS id"
    )


def upsert(table: Table, columns: Sequence[str], mark: str) -> str:
    """As `insert`, but a row whose unique column `mark` is taken already is left alone; also returns the mark."""
    # The condition lets a partial index serve as well as a whole one.
    unless = f"ON CONFLICT ({quoted(mark)}) WHERE {quoted(mark)} IS NOT NULL DO NOTHING"
    return f"{insert(table, columns, unless=unless)}, {_column(mark)}::text AS mark"


def probe(table: Table, column: str) -> str:
    """$1 a patch; fails as `update` and `insert` would on the type or the length of that column's value."""
    return f"SELECT (jsonb_populate_record(NULL::{quoted_table(table.name)}, $1::jsonb)).{quoted(column)}::text"


def matching(select: str, fields: Sequence[str], rule: Sequence[str]) -> str:
    """$1, $2, ... the rule's values as text[]. select: a SELECT of `key` and then `fields`."""
    shown = [f"f{at}" for at, _ in enumerate(fields)]
    asked = [f"v{at}" for at, _ in enumerate(rule)]
    given = ", ".join(f"${at}::text[]" for at, _ in enumerate(rule, 1))
    equal = " AND ".join(
        f"lower(btrim(found.f{fields.index(field)}::text)) = lower(wanted.{value})"
        for field, value in zip(rule, asked, strict=True)
    )
    return (
        f"SELECT wanted.place, found.* FROM unnest({given}) WITH ORDINALITY AS wanted ({', '.join([*asked, 'place'])})"
        f" JOIN ({select}) AS found ({', '.join(['key', *shown])}) ON {equal} ORDER BY wanted.place, found.key"
    )


def _column(name: str) -> str:
    return f"{ROW}.{quoted(name)}"


def _told_apart(table: Table) -> str:
    return "".join(
        f" AND {_column(column)} = ${at}::text::{declared}"
        for at, (column, declared) in enumerate(table.where_types.items(), 2)
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
