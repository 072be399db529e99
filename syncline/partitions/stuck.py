"""Children that are held though what they wait for is synced. A mapper that ran on partitions that somebody had added
held them where it could not see that, and nothing would come any more to release them. They go through it once more.
"""

from __future__ import annotations

from typing import Any

from syncline.contracts.tables import HOMES, waited_for
from syncline.contracts.topics import Names
from syncline.runtime.kafka import Message, Publisher
from syncline.runtime.placement import in_place
from syncline.runtime.scan import Progress, stream

_ASKED = b"\0"
"""How the row ends that says only that the parent was asked for."""


async def release(consumer: Any, publishing: Publisher, names: Names, count: int, progress: Progress) -> int:
    """Once the rows lie where they belong. Returns how many. Raises Transient."""
    log = names.changelog("held")
    held = await _live(consumer, log, count, progress)
    parents = await _live(consumer, names.changelog("synced"), count, progress, among={*map(waited_for, held)})
    stuck = {key: offset for key, offset in held.items() if waited_for(key) in parents}
    if not stuck:
        return 0
    found = 0
    async for records in stream(consumer, {log: range(count)}, progress=progress):
        current = [each for each in records if stuck.get(each.key) == each.offset]
        waiting = [each for each in current if not each.key.endswith(_ASKED)]
        await publishing.publish(
            Message(names.mapped, HOMES["held"](each.key), each.value.partition(b"\n")[2]) for each in waiting
        )
        if current:
            await publishing.forward([(each.key, None) for each in current], log, current[0].partition)
        found += len(waiting)
    return found


async def _live(
    consumer: Any, topic: str, count: int, progress: Progress, among: set[bytes] | None = None
) -> dict[bytes, int]:
    """The rows that there are, each with its offset."""
    live: dict[bytes, int] = {}
    settled = in_place(HOMES["held"], count)
    async for records in stream(consumer, {topic: range(count)}, progress=progress):
        for each in filter(settled, records):
            if each.value is None:
                live.pop(each.key, None)
            elif among is None or each.key in among:
                live[each.key] = each.offset
    return live
