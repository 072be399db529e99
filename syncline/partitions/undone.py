"""Moving messages that nobody has handled yet: they are sent again, by their keys, and passed over where they lay.

A partition is sent again whole or not at all, so that what has one key keeps its order. Who is killed before the offset
is committed sends it twice, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from syncline.runtime.admin import asking
from syncline.runtime.kafka import Placed, Publisher
from syncline.runtime.lag import committed
from syncline.runtime.placement import places
from syncline.runtime.scan import Progress, Span, over, reader, spans
from syncline.runtime.security import Address

Undone = dict[TopicPartition, Span]
"""What a group has not handled of each partition."""


async def misplaced(address: Address, group: str, counts: Mapping[str, int], count: int, progress: Progress) -> Undone:
    """Partitions with anything that lies wrong if there are `count`. counts: the present ones. Raises Transient."""
    async with asking(address) as admin:
        done = await committed(admin, group)
    async with reader(address) as consumer:
        all_of = await spans(consumer, {topic: range(present) for topic, present in counts.items()})
        left = {
            tp: Span(max(span.start, done[tp].offset if tp in done else 0), span.end) for tp, span in all_of.items()
        }
        wrong: set[TopicPartition] = set()
        async for part in over(consumer, left, progress=progress):
            if part.place not in wrong and _any_wrong(part.records, part.place.partition, count):
                wrong.add(part.place)
    return {tp: left[tp] for tp in sorted(wrong)}


def _any_wrong(records: list[Any], partition: int, count: int) -> bool:
    return any(right != partition for right in places([each.key for each in records if each.key is not None], count))


async def move(address: Address, publishing: Publisher, group: str, undone: Undone, count: int) -> None:
    """The topics have `count` partitions, and the group no members. Raises Transient."""
    async with reader(address, group=group) as consumer:
        for tp, span in undone.items():
            async for part in over(consumer, {tp: span}, progress=lambda *_: None):
                rights = iter(places([each.key for each in part.records if each.key is not None], count))
                await publishing.place(
                    Placed(
                        tp.topic,
                        tp.partition if each.key is None else next(rights),
                        each.key,
                        each.value,
                        tuple(each.headers),
                    )
                    for each in part.records
                )
            consumer.assign([tp])  # aiokafka commits nothing else
            await consumer.commit({tp: span.end})
