"""Reading the selected change events back from their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import TopicPartition

from syncline.config.settings import Settings
from syncline.replay.selection import Selection
from syncline.runtime.scan import Progress, Record, Span, over, spans


async def selected_spans(consumer: Any, selection: Selection, settings: Settings) -> dict[TopicPartition, Span]:
    """Where the selected changes lie as of now; empty spans are left out. Raises Transient."""
    places = selection.places(settings.names, settings.partitions)
    found = await spans(consumer, places, since=selection.since, until=selection.until)
    firsts = selection.offsets or {}
    cut = {tp: Span(max(span.start, firsts.get(tp.partition, 0)), span.end) for tp, span in found.items()}
    return {tp: span for tp, span in cut.items() if span.start < span.end}


async def changes(
    consumer: Any, selection: Selection, settings: Settings, *, progress: Progress
) -> AsyncIterator[Sequence[Record]]:
    """The selected messages in lists of one partition each, in order, up to the end that it has now. `consumer` is of
    `syncline.runtime.scan.reader`. Raises Transient."""
    found = await selected_spans(consumer, selection, settings)
    async for part in over(consumer, found, progress=progress):
        if taken := selection.taken(part.records, settings.names):
            yield taken
