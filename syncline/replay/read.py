"""Where the selected change events lie on their topics."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from syncline.config.settings import Settings
from syncline.replay.selection import Selection
from syncline.runtime.scan import Span, spans
from syncline.state.database import check_migrated, connect
from syncline.state.partitions import FormerCounts


async def selected_spans(consumer: Any, selection: Selection, settings: Settings) -> dict[TopicPartition, Span]:
    """Where the selected changes lie as of now; empty spans are left out. Raises Transient, Fatal."""
    counts = [settings.partitions, *(await _former(settings) if selection.refs else [])]
    places = selection.places(settings.names, counts)
    found = await spans(consumer, places, since=selection.since, until=selection.until)
    firsts = selection.offsets or {}
    cut = {tp: Span(max(span.start, firsts.get(tp.partition, 0)), span.end) for tp, span in found.items()}
    return {tp: span for tp, span in cut.items() if span.start < span.end}


async def _former(settings: Settings) -> list[int]:
    async with connect(settings.database_url, application="syncline-replay", size=1) as pool:
        await check_migrated(pool)
        return await FormerCounts(pool).all()
