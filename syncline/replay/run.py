"""`syncline replay`: changes that lie on their topics go through mapper and writer once more, behind live traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import TopicPartition

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.topics import Names
from syncline.replay.bookmark import Bookmark, Refused, found
from syncline.replay.read import selected_spans
from syncline.replay.selection import Selection
from syncline.replay.window import Stages, Window, stages
from syncline.runtime.admin import asking
from syncline.runtime.kafka import Message, Publisher, publisher
from syncline.runtime.lag import committed
from syncline.runtime.scan import Part, Span, over, reader
from syncline.timeline.read import check


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """selection None goes on with the replay of that name. window: see `Window`. wait: until all of it is written."""

    name: str
    selection: Selection | None
    window: int
    wait: bool = True


@dataclass(slots=True)
class Running:
    """Messages, as offsets count them. sent: changes of these that were selected. under_way: messages before the mapper
    and the writer, live ones among them. absent: the groups that have no member. finished: all of it was sent, and
    written where that was waited for."""

    read: int = 0
    total: int = 0
    sent: int = 0
    under_way: int = 0
    absent: tuple[str, ...] = ()
    resumed: bool = False
    finished: bool = False


Tell = Callable[[Running], None]


async def replay(order: Order, settings: Settings, config: Config, *, stop: asyncio.Event, tell: Tell) -> Running:
    """Returns when it is through, or soon after `stop` is set: then it goes on from there under the same name.

    An offset is committed once the broker has what was read before it, so that a killed replay repeats a little, which
    changes nothing. Raises Refused, Unknown, Transient, Fatal.
    """
    await check(settings, config)
    async with _opened(order.name, settings, config) as opened:
        bookmark, resumed = await _bookmark(order, settings, opened.consumer)
        if not resumed and bookmark.spans:
            opened.consumer.assign(list(bookmark.spans))  # aiokafka commits nothing else
            await opened.consumer.commit(bookmark.begun)
        running = Running(total=sum(span.end - span.start for span in bookmark.spans.values()), resumed=resumed)

        def under_way(count: int) -> None:
            running.under_way, running.absent = count, tuple(opened.stages.absent)
            tell(running)

        tell(running)

        async def look() -> int:
            under_way(await opened.stages.lag())
            return running.under_way

        window = Window(look, order.window)
        if await _send(opened, bookmark, window, running, stop, under_way):
            running.finished = not order.wait or await opened.stages.through(stop, under_way)
        return running


@dataclass(frozen=True, slots=True)
class _Opened:
    consumer: Any
    publishing: Publisher
    stages: Stages
    names: Names


@asynccontextmanager
async def _opened(name: str, settings: Settings, config: Config) -> AsyncIterator[_Opened]:
    names = settings.names
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(reader(settings.kafka, group=names.replaying(name)))
        publishing = await stack.enter_async_context(publisher(settings.kafka, "syncline-replay"))
        yield _Opened(consumer, publishing, await stack.enter_async_context(stages(settings, config)), names)


async def _bookmark(order: Order, settings: Settings, consumer: Any) -> tuple[Bookmark, bool]:
    """Where to go on, and True; or where to begin."""
    async with asking(settings.kafka) as admin:
        begun = found(await committed(admin, settings.names.replaying(order.name)), settings.names)
    given = order.selection
    if begun is None:
        if given is None:
            raise Refused(f"no replay {order.name} was left unfinished: begin one by what it is to select")
        spans = await selected_spans(consumer, given, settings)
        return Bookmark(replace(given, since=None, until=None, offsets=None), spans), False
    if given and (given.pipelines, given.refs) != (begun.selection.pipelines, begun.selection.refs):
        raise Refused(
            f"the replay {order.name} was begun for something else and is not finished: go on with it by "
            f"`syncline replay --resume {order.name}`, or give this one another --name"
        )
    return Bookmark(begun.selection, await _kept(consumer, begun)), True


async def _kept(consumer: Any, begun: Bookmark) -> dict[TopicPartition, Span]:
    """What is still there of what was to be read: meanwhile the topics may have dropped some, or been made anew."""
    places = list(begun.spans)
    firsts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    cut = {tp: Span(max(firsts[tp], span.start), min(ends[tp], span.end)) for tp, span in begun.spans.items()}
    return {tp: span for tp, span in cut.items() if span.start < span.end}


async def _send(
    opened: _Opened,
    bookmark: Bookmark,
    window: Window,
    running: Running,
    stop: asyncio.Event,
    tell: Callable[[int], None],
) -> bool:
    """True when everything was sent."""
    headers = bookmark.selection.replay.headers
    at = {tp: span.start for tp, span in bookmark.spans.items()}
    parts = over(opened.consumer, bookmark.spans, progress=lambda *_: None)
    async for part in pieces(parts, window.share):
        taken = bookmark.selection.taken(part.records, opened.names)
        if taken:
            if not await window.room(len(taken), stop):
                return False
            messages = [Message(opened.names.replay, record.key, record.value) for record in taken]
            await opened.publishing.publish(messages, headers)
        await opened.consumer.commit(bookmark.at(part.place, part.at))
        running.read += part.at - at[part.place]
        running.sent += len(taken)
        at[part.place] = part.at
        tell(window.under_way)
        if stop.is_set() and running.read < running.total:
            return False
    return True


async def pieces(parts: AsyncIterator[Part], most: int) -> AsyncIterator[Part]:
    """The same messages, at most so many at a time."""
    async for part in parts:
        for first in range(0, max(1, len(part.records)), most):
            records = part.records[first : first + most]
            last = first + most >= len(part.records)
            yield Part(part.place, records, part.at if last else records[-1].offset + 1)
