"""One partition of the tables in RocksDB: how hops read it and how a batch of changes gets into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rocksdict import Rdict, RdictIter, WriteBatch, WriteOptions

OFFSET_KEY = b"__faust\0offset__"
"""Faust's own row in each database: the changelog offset up to which it holds everything. Hops never see it."""

_WITHOUT_LOG = WriteOptions()
_WITHOUT_LOG.disable_wal = True
"""The changelog topic is the log: what RocksDB loses of its newest writes it loses together with their offset, and its
folder is emptied at each start. Its own log took half of the time of a write."""


SMALL = 64
"""Bytes of a value that is kept in memory once it was read: those are what many others ask for, as each child does for
the id of its parent."""
KEPT = 16_384
"""How many of a table's partition are; a few megabytes. When there are more, all are forgotten."""


class Rows:
    """One table's rows of one partition."""

    def __init__(self, database: Rdict) -> None:
        """database: in raw mode."""
        self.database = database
        self._small: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        small = self._small.get(key)
        if small is not None:
            return small
        value: bytes | None = self.database.get(key)
        if value is not None and len(value) <= SMALL:
            if len(self._small) == KEPT:
                self._small.clear()
            self._small[key] = value
        return value

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
        """Store changes and the changelog offset that they reach in one atomic step, so that neither is there alone."""
        batch, small = WriteBatch(raw_mode=True), self._small
        for key, value in changes:
            small.pop(key, None)
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, str(offset).encode())
        self.database.write(batch, _WITHOUT_LOG)


class PartitionStore:
    """The Reader that the engine gives to a hop. rows: by table.

    Serves one pass: its iterators see the tables as they were at their first use.
    """

    def __init__(self, rows: Mapping[str, Rows]) -> None:
        self._rows = rows
        self._iterators: dict[str, RdictIter] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._rows[table].get(key)

    def scan(self, table: str, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """To make an iterator costs ten times what it costs to move it, so there is one a table."""
        rows = self._iterators.get(table)
        if rows is None:
            rows = self._iterators[table] = self._rows[table].database.iter()
        found = []
        rows.seek(prefix)
        while rows.valid() and (key := rows.key()).startswith(prefix):
            if key != OFFSET_KEY:
                found.append((key, rows.value()))
            rows.next()
        return found

    def close(self) -> None:
        """Let go of the iterators: while there is one, its database cannot be closed."""
        self._iterators.clear()
