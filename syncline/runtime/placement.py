"""Rows of changelogs that lie in another partition than their keys tell, as they do once partitions were added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from syncline.contracts.tables import Home
from syncline.runtime.kafka import partition_of


def places(keys: Sequence[bytes], count: int) -> list[int]:
    """The partition of each of `count`."""
    return [partition_of(key, count) for key in keys]


def in_place(home: Home, count: int) -> Callable[[Any], bool]:
    """Whether a row of a changelog of `count` partitions lies where it belongs. One that does not was moved when
    partitions were added: what is left of it, and its tombstone, say nothing of the row any more."""
    return lambda record: record.key is not None and partition_of(home(record.key), count) == record.partition


class Misplaced:
    """Rows of one changelog that lie wrong; rows: partition to key to the offset of the row as it is now."""

    def __init__(self, home: Home, count: int) -> None:
        self._home = home
        self._count = count
        self.rows: defaultdict[int, dict[bytes, int]] = defaultdict(dict)

    @property
    def total(self) -> int:
        return sum(map(len, self.rows.values()))

    def add(self, partition: int, records: Iterable[Any]) -> None:
        """aiokafka's ConsumerRecords of this partition, in their order."""
        known = [record for record in records if record.key is not None]
        rights = self.right([record.key for record in known])
        if rights.count(partition) == len(rights):
            return  # as nearly always
        for record, right in zip(known, rights, strict=True):
            if right == partition:
                continue
            if record.value is None:
                self.rows[partition].pop(record.key, None)
            else:
                self.rows[partition][record.key] = record.offset

    def right(self, keys: Iterable[bytes]) -> list[int]:
        """Where these rows belong."""
        return places([*map(self._home, keys)], self._count)
