"""Moving the rows of the mapper's tables, whose changelogs are what is kept of them.

The copies first, then the tombstones where the rows lay: who is killed in between repeats the copies, or finds them. A
row that is there already was written there, by such a copy or by a mapper since, and stays; so does one that a mapper
has deleted there. Our own tombstones say so in a header: they are no deletions, and the row may come back to where it
lay when there are more partitions again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from syncline.contracts.tables import HOMES
from syncline.runtime.kafka import Publisher
from syncline.runtime.placement import Misplaced
from syncline.runtime.scan import Progress, stream

AT_ONCE = 10_000
MOVED = ("moved", b"")


async def misplaced(consumer: Any, table: str, topic: str, present: int, count: int, progress: Progress) -> Misplaced:
    """The rows of this changelog of `present` partitions that lie wrong if there are `count`. Raises Transient."""
    found = Misplaced(HOMES[table], count)
    async for records in stream(consumer, {topic: range(present)}, progress=progress):
        if records:
            found.add(records[0].partition, records)
    return found


async def move(
    consumer: Any, publishing: Publisher, topic: str, wrong: Misplaced, count: int, progress: Progress
) -> None:
    """The topic has `count` partitions. Raises Transient."""
    there = await _there(consumer, topic, wrong, count, progress)
    sources = [number for number, rows in wrong.rows.items() if rows]
    async for records in stream(consumer, {topic: sources}, progress=progress):
        current = [
            each
            for each in records
            if each.key not in there and wrong.rows[each.partition].get(each.key) == each.offset
        ]
        copies: defaultdict[int, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
        for each, right in zip(current, wrong.right([each.key for each in current]), strict=True):
            copies[right].append((each.key, each.value))
        for right, pairs in copies.items():
            await publishing.forward(pairs, topic, right)
    for number in sources:
        for keys in _parts(wrong.rows[number]):
            await publishing.forward([(key, None) for key in keys], topic, number, [MOVED])


async def _there(consumer: Any, topic: str, wrong: Misplaced, count: int, progress: Progress) -> set[bytes]:
    """Those of the rows that were written where they belong too, be it to delete them."""
    wanted = {key for rows in wrong.rows.values() for key in rows}
    there: set[bytes] = set()
    async for records in stream(consumer, {topic: range(count)}, progress=progress):
        named = [record for record in records if record.key in wanted]
        for record, right in zip(named, wrong.right([record.key for record in named]), strict=True):
            if right == record.partition:
                (there.discard if MOVED in record.headers else there.add)(record.key)
    return there


def _parts(rows: Mapping[bytes, int]) -> Iterator[list[bytes]]:
    keys = iter(rows)
    while part := list(islice(keys, AT_ONCE)):
        yield part
