"""The entries of a plan, kept in the order of their records, so that they can be told however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from services.planner.entry import Entry
from services.planner.store import Scratch


class Ledger:
    def __init__(self, scratch: Scratch, name: str) -> None:
        self._scratch = scratch
        self._prefix = f"{name}.ledger:".encode()
        self._count = 0

    def add(self, entry: Entry) -> None:
        self._count += 1
        self._scratch.put([(b"%b%b\0%012d" % (self._prefix, entry.key, self._count), entry.encode())])

    def __iter__(self) -> Iterator[Entry]:
        for _, row in self._scratch.scan(self._prefix):
            yield Entry.decode(row)

    def groups(self) -> Iterator[tuple[bytes, list[Entry]]]:
        """What one record does to one kind of target, in the order in which it is done."""
        for key, group in groupby(self, key=lambda entry: entry.key):
            yield key, list(group)
