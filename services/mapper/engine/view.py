"""A batch's own sight of the tables: what it has written over what was stored.

Several changes of a key within a batch become one row to write and one changelog record.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge

from services.mapper.engine.hop import Reader

Row = tuple[bytes, bytes]
Changes = dict[str, dict[bytes, bytes | None]]


class View:
    """Reads see the batch's own writes first. `changes` is what to store: table -> key -> new value, None deletes."""

    def __init__(self, stored: Reader, changes: Changes | None = None) -> None:
        self._stored = stored
        self._scanned: dict[str, list[bytes]] = {}  # table -> its changed keys in order, once somebody scans it
        self.changes: Changes = {} if changes is None else changes

    def get(self, table: str, key: bytes) -> bytes | None:
        changed = self.changes.get(table)
        if changed is not None and key in changed:
            return changed[key]
        return self._stored.get(table, key)

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        changed = self.changes.get(table)
        if changed is None:
            changed = self.changes[table] = {}
        elif table in self._scanned and key not in changed:
            insort(self._scanned[table], key)
        changed[key] = value

    def delete(self, table: str, key: bytes) -> None:
        self.put(table, key, None)

    def update(self, changes: Changes) -> None:
        """As if each had been put or deleted. Takes over the dicts that it is given."""
        for table, rows in changes.items():
            if table not in self.changes:
                self.changes[table] = rows
            elif table in self._scanned:
                for key, value in rows.items():
                    self.put(table, key, value)
            else:
                self.changes[table].update(rows)

    def scan(self, table: str, prefix: bytes) -> Iterator[Row]:
        """The rows whose keys start with `prefix`, in the order of their keys, as they are at the call.

        The caller may put and delete while it iterates.
        """
        changed = self._changed(table, prefix)
        if not changed:
            return iter(self._stored.scan(table, prefix))
        written = [(key, value) for key, value in changed.items() if value is not None]
        stored = (row for row in self._stored.scan(table, prefix) if row[0] not in changed)
        return merge(written, stored)

    def _changed(self, table: str, prefix: bytes) -> dict[bytes, bytes | None]:
        """The changes under `prefix`, in order. Costs what it finds, not what the batch has changed so far."""
        changed = self.changes.get(table)
        if not changed:
            return {}
        if table not in self._scanned:
            self._scanned[table] = sorted(changed)
        keys, found = self._scanned[table], {}
        for index in range(bisect_left(keys, prefix), len(keys)):
            if not keys[index].startswith(prefix):
                break
            found[keys[index]] = changed[keys[index]]
        return found
