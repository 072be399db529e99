"""Records in memory, with indexes and transactions.

A stored record is a dict of its non-empty fields by schema name, and is never changed in place: an update stores a new
dict. So a query's cursor and a rollback keep old rows by reference alone. Indexes are built when first asked for and
kept from then on, so that seeding pays for none of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from syncline.simorg.metadata import Field, Schema, SObject
from syncline.simorg.values import Value

Record = dict[str, Value]
Journal = list[tuple["Table", str, Record | None]]


def _stamp_key(record: Record) -> str:
    """Sorts by (SystemModstamp, Id): the stamp has a fixed width."""
    return f"{record['SystemModstamp']}{record['Id']}"


_STAMP_WIDTH = 28


class Table:
    """All records of one object, deleted ones included."""

    def __init__(self, sobject: SObject, journal: Journal) -> None:
        self.sobject = sobject
        self._journal = journal
        self._rows: dict[str, Record] = {}
        self._deleted: set[str] = set()
        self._indexes: dict[str, dict[Value, set[str]]] = {}
        self._by_stamp: list[str] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, id18: str) -> Record | None:
        return self._rows.get(id18)

    def alive(self, id18: str) -> Record | None:
        return None if id18 in self._deleted else self._rows.get(id18)

    def all(self) -> Iterable[Record]:
        return self._rows.values()

    def put(self, record: Record) -> None:
        """Inserts or replaces the record of that Id."""
        id18 = str(record["Id"])
        self._journal.append((self, id18, self._rows.get(id18)))
        self._set(id18, record)

    def put_many(self, records: Collection[Record]) -> None:
        """The same for a load: where it is most of the table, indexes are built anew when next asked for."""
        if len(records) > len(self._rows):
            self._indexes.clear()
            self._by_stamp = None
        for record in records:
            self.put(record)

    def restore(self, id18: str, record: Record | None) -> None:
        """Undoes a `put`; only the store's rollback calls it."""
        self._set(id18, record)

    def find(self, field: Field, value: Value) -> Sequence[str]:
        """Ids of records that hold the value, deleted ones included, in order of their ids."""
        return sorted(self._index(field).get(field.key(value), ()))

    def find_alive(self, field: Field, value: Value) -> Sequence[str]:
        return [id18 for id18 in self.find(field, value) if id18 not in self._deleted]

    def by_stamp(self, low: str | None = None, high: str | None = None) -> Iterator[Record]:
        """Records with low <= SystemModstamp < high, sorted by (SystemModstamp, Id)."""
        if self._by_stamp is None:
            self._by_stamp = sorted(map(_stamp_key, self._rows.values()))
        keys = self._by_stamp
        start = 0 if low is None else bisect_left(keys, low)
        end = len(keys) if high is None else bisect_left(keys, high)
        return (self._rows[key[_STAMP_WIDTH:]] for key in islice(keys, start, end))

    def forget_indexes(self) -> None:
        """They are built anew when next asked for; a field that they are by may have changed."""
        self._indexes.clear()

    @property
    def has_deleted(self) -> bool:
        return bool(self._deleted)

    def _index(self, field: Field) -> dict[Value, set[str]]:
        index = self._indexes.get(field.name)
        if index is None:
            index = self._indexes[field.name] = {}
            for id18, record in self._rows.items():
                if (value := record.get(field.name)) is not None:
                    index.setdefault(field.key(value), set()).add(id18)
        return index

    def _set(self, id18: str, record: Record | None) -> None:
        old = self._rows.get(id18)
        if record is None:
            del self._rows[id18]
        else:
            self._rows[id18] = record
        if record is not None and record["IsDeleted"]:
            self._deleted.add(id18)
        else:
            self._deleted.discard(id18)
        if self._by_stamp is not None:
            self._move_stamp(self._by_stamp, old, record)
        for name, index in self._indexes.items():
            self._move_entry(name, index, id18, old, record)

    @staticmethod
    def _move_stamp(keys: list[str], old: Record | None, new: Record | None) -> None:
        if old is not None:
            del keys[bisect_right(keys, _stamp_key(old)) - 1]
        if new is not None:
            insort(keys, _stamp_key(new))

    def _move_entry(
        self, name: str, index: dict[Value, set[str]], id18: str, old: Record | None, new: Record | None
    ) -> None:
        before = old.get(name) if old else None
        after = new.get(name) if new else None
        if before == after:
            return
        field = self.sobject.field(name)
        assert field is not None
        if before is not None:
            ids = index[field.key(before)]
            ids.discard(id18)
            if not ids:
                del index[field.key(before)]
        if after is not None:
            index.setdefault(field.key(after), set()).add(id18)


class Store:
    """One table for each object of the schema."""

    def __init__(self, schema: Schema) -> None:
        self._journal: Journal = []
        self._depth = 0
        self._tables = {sobject.name: Table(sobject, self._journal) for sobject in schema}

    def table(self, sobject: SObject | str) -> Table:
        return self._tables[sobject if isinstance(sobject, str) else sobject.name]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undoes every `put` inside when it is left by an exception; may be nested, as a savepoint."""
        mark = len(self._journal)
        self._depth += 1
        try:
            yield
        except BaseException:
            while len(self._journal) > mark:
                table, id18, record = self._journal.pop()
                table.restore(id18, record)
            raise
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._journal.clear()
