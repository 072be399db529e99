"""A sink that reads and matches as the real one does, and only notes what it would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from services.planner.price import Meter
from services.planner.store import Overlay
from services.writer.sinks import Present, Saved, Sink, Write, Written
from services.writer.sinks.repeats import repeats
from syncline.contracts.ref import Fields, Value

PRESENT = "present"

LATER = "~"
"""Sorts after every digit: a version with it is newer than the one that it was made from, and older than the next."""


class PlannedSink:
    """What earlier steps of the plan would have written is read back from `planned`. A record that would be made is
    called `new-` and its source's id; without a field for that id, by a number of `numbers`, which all sinks share.
    reads: calls that reading cost; calls: those that writing would."""

    def __init__(
        self,
        system: str,
        real: Sink,
        planned: Overlay,
        numbers: Iterator[int],
        meter: Meter,
        now: Callable[[], datetime],
    ) -> None:
        self._system = system
        self._real = real
        self._planned = planned
        self._numbers = numbers
        self._meter = meter
        self._now = now
        self._versions: dict[tuple[str, str], str] = {}
        self._touched: dict[tuple[str, str], None] = {}
        self.reads = 0
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def begin(self) -> None:
        """A pass of the writer, which reads whatever it writes."""
        self._versions.clear()

    async def refresh(self) -> None:
        await self._real.refresh()

    def canonical(self, name: str, fields: Fields) -> Fields:
        return self._real.canonical(name, fields)

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> dict[str, Present]:
        kept = {each: self._kept(name, each) for each in ids}
        there = [each for each, row in kept.items() if row is None or not (row["made"] or row["gone"])]
        before = self._meter.spent()
        found = dict(await self._real.read(name, there, fields)) if there else {}
        self.reads += self._meter.spent() - before
        for each, row in kept.items():
            if row and row["made"] and not row["gone"]:
                found[each] = Present(each, self._real.canonical(name, dict.fromkeys(fields)), "", row["time"])
        return {each: present for each, one in found.items() if (present := self._seen(name, one))}

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> list[list[Present]]:
        """Records that the plan made are not found: each is linked to its source, and so is nobody else's."""
        before = self._meter.spent()
        found = await self._real.match(name, rule, values, fields)
        self.reads += self._meter.spent() - before
        return [[present for one in many if (present := self._seen(name, one))] for many in found]

    async def write(self, name: str, writes: Sequence[Write]) -> list[Written]:
        again = repeats(writes)
        sent = [write for place, write in enumerate(writes) if place not in again]
        self.calls["write"] += self._meter.writes(sent)
        self.rows["write"] += len(sent)
        return [again.get(place) or self._write(name, write) for place, write in enumerate(writes)]

    async def delete(self, name: str, ids: Sequence[str]) -> list[Written]:
        self.calls["delete"] += self._meter.deletions(len(ids))
        self.rows["delete"] += len(ids)
        for each in ids:
            self._keep(name, each, {}, gone=True)
        return [Saved(each, False, self._version(name, each)) for each in ids]

    def touched(self) -> dict[str, list[str]]:
        """Records that were written or deleted since the last call: object to ids, in the order of writing."""
        found: dict[str, list[str]] = {}
        for name, record in self._touched:
            found.setdefault(name, []).append(record)
        self._touched.clear()
        return found

    def version(self, name: str, record: str) -> str:
        """Of a record that the plan has touched, as its next change event would have it."""
        row = self._kept(name, record)
        return row["version"] if row else ""

    def _write(self, name: str, write: Write) -> Saved:
        made = write.id is None
        record = write.id or f"new-{write.key[1] if write.key else next(self._numbers)}"
        values = write.values | (dict([write.key]) if made and write.key else {})
        self._keep(name, record, values, made=made)
        return Saved(record, made, "" if made else self._version(name, record))

    def _version(self, name: str, record: str) -> str:
        return self._versions.get((name, record), "") + LATER

    def _seen(self, name: str, present: Present) -> Present | None:
        """As the plan would have left it; None when it would be gone."""
        row = self._kept(name, present.id)
        if row and row["gone"]:
            return None
        if row:
            values = {each: row["values"].get(each, value) for each, value in present.values.items()}
            later = max(present.version, row["version"])
            present = replace(present, values=values, version=later, time=row["time"])
        self._versions[name, present.id] = present.version
        return present

    def _keep(self, name: str, record: str, values: Fields, *, made: bool = False, gone: bool = False) -> None:
        row = self._kept(name, record) or {"made": made, "values": {}}
        row |= {"gone": gone, "version": self._version(name, record), "time": self._now().isoformat()}
        row["values"] |= values
        self._touched[name, record] = None
        self._planned.apply({PRESENT: {self._key(name, record): orjson.dumps(row)}})

    def _kept(self, name: str, record: str) -> dict[str, Any] | None:
        row = self._planned.get(PRESENT, self._key(name, record))
        document: dict[str, Any] | None = orjson.loads(row) if row else None
        return document

    def _key(self, name: str, record: str) -> bytes:
        return f"{self._system}/{name}/{record}".encode()
