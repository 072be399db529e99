"""One partition of the tables in RocksDB: how hops read it and how a batch of changes gets into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rocksdict import Rdict, WriteBatch

OFFSET_KEY = b"__faust\0offset__"
"""Faust's own row in each database: the changelog offset up to which it holds everything. Hops never see it."""


class PartitionStore:
    """The Reader that the engine gives to a hop. `databases`: table -> RocksDB, in raw mode."""

    def __init__(self, databases: Mapping[str, Rdict]) -> None:
        self._databases = databases

    def get(self, table: str, key: bytes) -> bytes | None:
        value: bytes | None = self._databases[table].get(key)
        return value

    def scan(self, table: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._databases[table].items(from_key=prefix):
            if not key.startswith(prefix):
                return
            if key != OFFSET_KEY:
                yield key, value


def write(database: Rdict, changes: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
    """Store changes and the changelog offset that they reach in one atomic step, so that neither is there alone."""
    batch = WriteBatch(raw_mode=True)
    for key, value in changes:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    batch.put(OFFSET_KEY, str(offset).encode())
    database.write(batch)
