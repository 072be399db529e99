"""Answers a statement from the store: which index to start from, what is left to test, order, and the shape of rows.

A row's order is only promised where ORDER BY gives it: without it, and among equals, rows come newest id first, so that
a client that leans on an order by chance is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from syncline.simorg.compound import compound, is_compound
from syncline.simorg.errors import SalesforceError
from syncline.simorg.metadata import Field, Schema, SObject
from syncline.simorg.records import attributes
from syncline.simorg.soql.columns import Columns, Getter
from syncline.simorg.soql.filters import Filters, Predicate, is_stamp_range
from syncline.simorg.soql.parser import located, malformed, parse
from syncline.simorg.soql.syntax import AllOf, Comparison, Condition, OrderKey, Path, Query
from syncline.simorg.store import Record, Store, Table
from syncline.simorg.values import Value

Row = dict[str, Any]
Render = Callable[[Record, str], Row]
"""A record as JSON; the text is the base address `/services/data/vXX.X` of its `attributes.url`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All matching rows, not yet rendered. `render` is None for COUNT()."""

    total: int
    rows: Sequence[Record]
    render: Render | None


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Rows to look at, and what remains to be tested on them."""

    rows: Iterable[Record]
    rest: Condition | None
    by_stamp: bool = False
    """The rows are sorted by (SystemModstamp, Id)."""


def evaluate(
    text: str, schema: Schema, store: Store, now: datetime, *, include_deleted: bool, nulls_last_on_desc: bool
) -> Answer:
    query = parse(text)
    sobject = _source(query, schema)
    columns = Columns(text, sobject, schema, store)
    filters = Filters(text, columns, now)
    render = None if query.fields is None else _renderer(query.fields, columns, sobject, schema)
    if query.fields is None and query.order:
        raise malformed("COUNT() cannot be used with ORDER BY", text, query.source.line, query.source.column)
    table = store.table(sobject)
    ordered_by_stamp = _is_stamp_order(query.order)
    candidates = _candidates(query, table, columns, filters, ordered_by_stamp)
    tests: list[Predicate] = []
    if table.has_deleted and not include_deleted:
        tests.append(lambda record: not record["IsDeleted"])
    if query.where is not None:
        whole = filters.predicate(query.where)  # compiled even when an index answers all of it, for its errors
        if candidates.rest is not None:
            tests.append(whole if candidates.rest is query.where else filters.predicate(candidates.rest))
    rows: Iterable[Record] = candidates.rows
    for test in tests:
        rows = filter(test, rows)
    for key in query.order:
        _check_sortable(columns, key)
    if query.order and not (ordered_by_stamp and candidates.by_stamp):
        rows = _sorted(list(rows), query.order, columns, nulls_last_on_desc)
    end = None if query.limit is None else query.offset + query.limit
    found = list(islice(rows, query.offset, end))
    return Answer(len(found), found if render else (), render)


def _source(query: Query, schema: Schema) -> SObject:
    sobject = schema.sobject(query.source.text)
    if sobject is None or not sobject.allows("queryable"):
        message = (
            f"sObject type '{query.source.text}' is not supported. If you are attempting to use a custom object, be "
            "sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the "
            "appropriate names."
        )
        raise SalesforceError(400, "INVALID_TYPE", located(message, query.text, query.source.line, query.source.column))
    return sobject


def _is_stamp_order(order: Sequence[OrderKey]) -> bool:
    names = [key.path.text.lower() for key in order]
    return names == ["systemmodstamp", "id"] and not any(key.descending for key in order)


def _conjuncts(condition: Condition | None) -> Sequence[Condition]:
    if condition is None:
        return ()
    return condition.parts if isinstance(condition, AllOf) else (condition,)


def _candidates(query: Query, table: Table, columns: Columns, filters: Filters, ordered_by_stamp: bool) -> _Candidates:
    parts = _conjuncts(query.where)
    for part in parts:
        if (rows := _by_index(part, table, columns, filters)) is not None:
            return _Candidates(rows, query.where)
    low, high = filters.stamp_range(query.where) if query.where is not None else (None, None)
    if low is not None or high is not None or ordered_by_stamp:
        rest = tuple(part for part in parts if not is_stamp_range(part))
        return _Candidates(
            table.by_stamp(low, high),
            rest=AllOf(rest) if len(rest) < len(parts) and rest else (query.where if rest else None),
            by_stamp=True,
        )
    return _Candidates(reversed(list(table.all())), query.where)


def _by_index(part: Condition, table: Table, columns: Columns, filters: Filters) -> Iterator[Record] | None:
    """Rows that an `=` or IN on an indexed field of the object itself can mean; None when no index helps."""
    if not isinstance(part, Comparison) or part.operator not in {"=", "in"}:
        return None
    column = columns.resolve(part.path)
    if column.lookups or not column.field.indexed:
        return None
    values = filters.equal_values(part, column.field)
    if None in values:
        return None
    ids = {id18 for value in values for id18 in _ids(table, column.field, value)}
    return (record for id18 in sorted(ids, reverse=True) if (record := table.get(id18)) is not None)


def _ids(table: Table, field: Field, value: Value) -> Sequence[str]:
    return (str(value),) if field.type == "id" else table.find(field, value)


def _check_sortable(columns: Columns, key: OrderKey) -> None:
    field = columns.resolve(key.path).field
    if not field.sortable:
        raise columns.invalid_field(key.path, f"field '{field.name}' can not be sorted in a query call")


def _sorted(rows: list[Record], order: Sequence[OrderKey], columns: Columns, nulls_last_on_desc: bool) -> list[Record]:
    """By the last key first, so that each stable sort keeps what the later ones decided."""
    for key in reversed(order):
        column = columns.resolve(key.path)
        get, sort_key = column.get, _sort_key(column.field, column.get)
        nulls = [row for row in rows if get(row) is None]
        filled = [row for row in rows if get(row) is not None]
        filled.sort(key=sort_key, reverse=key.descending)
        nulls_last = key.nulls_last
        if nulls_last is None:
            nulls_last = key.descending and nulls_last_on_desc
        rows = filled + nulls if nulls_last else nulls + filled
    return rows


def _sort_key(field: Field, get: Getter) -> Callable[[Record], Any]:
    if field.type == "picklist":
        positions = {value: at for at, value in enumerate(field.picklist)}  # picklists sort as they are set up
        return lambda row: (positions.get(text := str(get(row)).lower(), len(positions)), text)
    return (lambda row: str(get(row)).lower()) if field.is_text else get


def _renderer(paths: Sequence[Path], columns: Columns, sobject: SObject, schema: Schema) -> Render:
    """Fields in the statement's order with the schema's spelling; parents nested under their relationship's name."""
    seen: set[tuple[str, ...]] = set()
    top = _Shape(sobject, schema)
    for path in paths:
        column = columns.resolve(path)
        names = (*(str(lookup.relationship) for lookup in column.lookups), column.field.name)
        if names in seen:
            raise columns.invalid_field(path, f"duplicate field selected: {path.text}")
        seen.add(names)
        top.add(column.lookups, column.field, columns)
    return top.render


class _Shape:
    """What one level of a row holds."""

    def __init__(self, sobject: SObject, schema: Schema) -> None:
        self._sobject = sobject
        self._schema = schema
        self._parts: dict[str, Callable[[Record, str], Any]] = {}
        self._parents: dict[str, _Shape] = {}

    def add(self, lookups: Sequence[Field], field: Field, columns: Columns) -> None:
        if lookups:
            lookup, *deeper = lookups
            name = str(lookup.relationship)
            if name not in self._parents:
                target = self._schema.sobject(lookup.reference_to[0])
                assert target is not None
                self._parents[name] = _Shape(target, self._schema)
                self._parts[name] = _parent_part(self._parents[name], columns.parent((lookup,)))
            self._parents[name].add(deeper, field, columns)
        elif is_compound(field):
            self._parts[field.name] = lambda record, base: compound(self._sobject, field, record)
        else:
            self._parts[field.name] = lambda record, base: record.get(field.name)

    def render(self, record: Record, base: str) -> Row:
        row: Row = {"attributes": attributes(self._sobject, record, base)}
        for name, part in self._parts.items():
            row[name] = part(record, base)
        return row


def _parent_part(shape: _Shape, parent: Callable[[Record], Record | None]) -> Callable[[Record, str], Row | None]:
    def render(record: Record, base: str) -> Row | None:
        found = parent(record)
        return None if found is None else shape.render(found, base)

    return render
