"""The mapper's tables, read back from their changelogs a partition at a time, and only the partitions that are met."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import orjson

from services.mapper.engine import Input
from services.mapper.records import RECORDS
from services.planner.store import Stored
from syncline.contracts.change import Change
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields, Ref
from syncline.contracts.replay import Replay
from syncline.contracts.tables import HOMES
from syncline.contracts.topics import MAPPER_TABLES, Names
from syncline.runtime.placement import in_place
from syncline.runtime.scan import Progress, stream
from syncline.timeline.fetched import moment

PART = 1_000
"""Records that are planned together."""


class Changelogs:
    """`consumer`: of `syncline.runtime.scan.reader`, for this alone."""

    def __init__(self, consumer: Any, names: Names, partitions: int, stored: Stored, progress: Progress) -> None:
        self._consumer = consumer
        self._tables = {names.changelog(table): table for table in MAPPER_TABLES}
        self._counts = {names.changelog(table): in_place(home, partitions) for table, home in HOMES.items()}
        self._stored = stored
        self._progress = progress
        self._loaded: set[int] = set()

    async def load(self, numbers: Collection[int]) -> None:
        """Raises Transient."""
        fresh = sorted(set(numbers) - self._loaded)
        if not fresh:
            return
        places = dict.fromkeys(self._tables, fresh)
        async for rows in stream(self._consumer, places, progress=self._progress):
            for table in {row.topic for row in rows}:
                self._stored.add(
                    self._tables[table],
                    ((row.key, row.value, row.timestamp) for row in filter(self._counts[table], rows)),
                )
        self._loaded.update(fresh)


Row = tuple[Ref, Fields, Change]
"""A record that the mapper knows, all of it, and that as a change."""


def known(stored: Stored, wanted: Callable[[Ref], bool]) -> Iterator[Row]:
    """Every record in the table `records`, in the order of their names."""
    for key, value, at in stored.rows(RECORDS):
        try:
            ref = Ref.parse(key.decode())
        except (Malformed, UnicodeDecodeError):
            continue
        if wanted(ref):
            row = orjson.loads(value)
            yield ref, row["fields"], _change(ref, row, at)


def _change(ref: Ref, row: dict[str, Any], at: int) -> Change:
    """The table does not say when a record changed: its version does where it is a time, and else the moment when the
    mapper stored it comes closest."""
    version: str = row["version"]
    try:
        time = datetime.fromisoformat(version)
    except ValueError:
        time = moment(at)
    return Change(
        ref=ref,
        instance="records",
        op="delete" if row["deleted"] else "update",
        version=version,
        time=(time if time.tzinfo else moment(at)).isoformat(),
        fields={} if row["deleted"] else row["fields"],
    )


def replayed(changes: Iterator[Change], topic: str, replay: Replay) -> Iterator[list[Input]]:
    """As messages of the topic `replay`, in parts."""
    headers = replay.headers
    while part := list(islice(changes, PART)):
        yield [Input(topic, 0, 0, each.ref.id.encode(), each.encode(), 0, headers) for each in part]
