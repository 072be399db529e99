"""The selected changes, always in the same order and the same parts: the same plan comes out each time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from services.mapper.engine import Input
from syncline.config.settings import Settings
from syncline.replay.read import selected_spans
from syncline.replay.selection import Selection
from syncline.runtime.kafka import partition_of
from syncline.runtime.scan import Progress, Record, over

PART = 5_000


async def selected(
    consumer: Any, selection: Selection, settings: Settings, *, progress: Progress
) -> AsyncIterator[list[Input]]:
    """As `syncline replay` would send them, one partition after the other, up to the ends of now. Raises Transient."""
    names, headers = settings.names, selection.replay.headers
    spans = await selected_spans(consumer, selection, settings)
    total, before = sum(span.end - span.start for span in spans.values()), 0

    def sent(record: Record) -> Input:
        number = partition_of(record.key, settings.partitions)
        return Input(names.replay, number, record.offset, record.key, record.value, record.timestamp, headers)

    for tp, span in sorted(spans.items()):
        part: list[Input] = []
        async for read in over(consumer, {tp: span}, progress=lambda *_: None):
            part += map(sent, selection.taken(read.records, names))
            while len(part) >= PART:
                yield part[:PART]
                del part[:PART]
            progress(before + read.at - span.start, total)
        if part:
            yield part
        before += span.end - span.start
