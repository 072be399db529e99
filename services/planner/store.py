"""The mapper's tables as they are, and what a plan makes of them: in RocksDB, in a folder that goes when the plan does,
so that memory stays the same however much is planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from pathlib import Path

from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from services.mapper.engine import Reader

Row = tuple[bytes, bytes]

_WITHOUT_LOG = WriteOptions()
_WITHOUT_LOG.disable_wal = True
_STAMP = 8
"""Bytes before each stored row: its milliseconds since 1970."""
_GONE, _THERE = b"\0", b"\1"


class Scratch:
    """Bytes under keys. Nothing of it outlives the folder."""

    def __init__(self, folder: Path) -> None:
        self._database = Rdict(str(folder), Options(raw_mode=True))

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._database.get(key)
        return value

    def put(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """None deletes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._database.write(batch, _WITHOUT_LOG)

    def scan(self, prefix: bytes) -> Iterator[Row]:
        """In the order of the keys, without the prefix; as it was at the first row."""
        rows = self._database.iter()
        rows.seek(prefix)
        while rows.valid() and (key := rows.key()).startswith(prefix):
            yield key[len(prefix) :], rows.value()
            rows.next()

    def close(self) -> None:
        self._database.close()


class Stored:
    """The tables as their changelogs have them. A key lies in one partition alone, so all can share a database."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def add(self, table: str, rows: Iterable[tuple[bytes, bytes | None, int]]) -> None:
        """Rows of a changelog in their order: key, value (None: deleted), and when it was written."""
        self._scratch.put(
            (_place(table, key), None if value is None else at.to_bytes(_STAMP, "big") + value)
            for key, value, at in rows
        )

    def get(self, table: str, key: bytes) -> bytes | None:
        row = self._scratch.get(_place(table, key))
        return row and row[_STAMP:]

    def scan(self, table: str, prefix: bytes) -> Iterator[Row]:
        for key, row in self._scratch.scan(_place(table, prefix)):
            yield prefix + key, row[_STAMP:]

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes, int]]:
        """All of a table: key, value, and when it was written."""
        for key, row in self._scratch.scan(_place(table, b"")):
            yield key, row[_STAMP:], int.from_bytes(row[:_STAMP], "big")


class NoRows:
    """Of the tables that only a plan has, nothing is stored."""

    def get(self, table: str, key: bytes) -> bytes | None:
        return None

    def scan(self, table: str, prefix: bytes) -> tuple[Row, ...]:
        return ()


class Overlay:
    """What a plan has changed, over what is stored; what is stored stays as it is. `name` tells plans apart that share
    the scratch."""

    def __init__(self, stored: Reader, scratch: Scratch, name: str) -> None:
        self._stored = stored
        self._scratch = scratch
        self._name = name

    def get(self, table: str, key: bytes) -> bytes | None:
        row = self._scratch.get(self._place(table, key))
        if row is None:
            return self._stored.get(table, key)
        return row[1:] if row.startswith(_THERE) else None

    def scan(self, table: str, prefix: bytes) -> list[Row]:
        """As a list, for the rows that are found are changed meanwhile."""
        changed = {prefix + key: row for key, row in self._scratch.scan(self._place(table, prefix))}
        written = ((key, row[1:]) for key, row in changed.items() if row.startswith(_THERE))
        stored = (row for row in self._stored.scan(table, prefix) if row[0] not in changed)
        return list(merge(written, stored))

    def apply(self, changes: Mapping[str, Mapping[bytes, bytes | None]]) -> None:
        for table, rows in changes.items():
            self._scratch.put(
                (self._place(table, key), _GONE if value is None else _THERE + value) for key, value in rows.items()
            )

    def own(self, table: str) -> Iterator[Row]:
        """What the plan put there and did not take away again."""
        for key, row in self._scratch.scan(self._place(table, b"")):
            if row.startswith(_THERE):
                yield key, row[1:]

    def _place(self, table: str, key: bytes) -> bytes:
        return b"%b:%b" % (self._name.encode(), _place(table, key))


def _place(table: str, key: bytes) -> bytes:
    return b"%b\0%b" % (table.encode(), key)
