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


class PartitionStore:
    """The Reader that the engine gives to a hop. `databases`: table -> RocksDB, in raw mode.

    Serves one pass, during which the tables do not change: its iterators see them as they were at their first use.
    """

    def __init__(self, databases: Mapping[str, Rdict]) -> None:
        self._databases = databases
        self._iterators: dict[str, RdictIter] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        value: bytes | None = self._databases[table].get(key)
        return value

    def scan(self, table: str, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """To make an iterator costs ten times what it costs to move it, so there is one a table."""
        rows = self._iterators.get(table)
        if rows is None:
            rows = self._iterators[table] = self._databases[table].iter()
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


def write(database: Rdict, changes: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
    """Store changes and the changelog offset that they reach in one atomic step, so that neither is there alone."""
    batch = WriteBatch(raw_mode=True)
    for key, value in changes:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    batch.put(OFFSET_KEY, str(offset).encode())
    database.write(batch, _WITHOUT_LOG)
