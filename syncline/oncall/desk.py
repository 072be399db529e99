"""Finding dead letters on their topic, and carrying out what a person decides about them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from syncline.config.settings import Settings
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed
from syncline.contracts.topics import Topic
from syncline.oncall.letters import Found, Original, Place, Selection, parse_id, reads_again, sent_again
from syncline.runtime.admin import check_topics, partition_counts
from syncline.runtime.kafka import Message, Placed, partition_of, publisher
from syncline.runtime.scan import Progress, message_at, reader, stream
from syncline.state.database import check_migrated, connect
from syncline.state.letters import Done, Mark, Marks
from syncline.state.partitions import FormerCounts
from syncline.timeline.asked import Unknown
from syncline.timeline.fetched import moment, where

AT_ONCE = 500
AT_ONCE_BYTES = 16 * 1024 * 1024
"""Letters that are dealt with together: sent, then marked. Bounds the memory, and what is sent again after a crash."""


class Desk:
    """unreadable: messages on the topic that are no dead letters; they are passed over."""

    def __init__(self, settings: Settings, consumer: Any, looking: Any, marks: Marks, *, moved: bool) -> None:
        """Two consumers: single messages are looked at while the topic is read. moved: the topics have more partitions
        than they once had, so that what goes by its key may belong elsewhere than where it lies."""
        self._settings = settings
        self._topic = settings.names.dead_letters
        self._consumer = consumer
        self._looking = looking
        self._marks = marks
        self._moved = moved
        self.unreadable = 0

    async def letters(
        self, selection: Selection, *, since: datetime | None = None, done: bool = False, progress: Progress
    ) -> AsyncIterator[list[Found]]:
        """Those that nothing was decided about, or else (`done`) only the others; up to the end that the topic has
        now, so that what a retry brings back is not met again. Raises Transient, Fatal."""
        places = {self._topic: range(self._settings.partitions)}
        async for records in stream(self._consumer, places, since=since, progress=progress):
            found = await self._decided(
                [each for record in records if (each := self._found(record)) and selection.takes(each.letter)]
            )
            yield [each for each in found if (each.mark is not None) == done]

    async def get(self, names: Sequence[str]) -> list[Found]:
        """These letters. Raises Unknown for a name that there is not, Transient, Fatal."""
        found = []
        for name in names:
            partition, offset = parse_id(name)
            record = None
            if partition < self._settings.partitions:
                record = await message_at(self._looking, self._topic, partition, offset)
            if record is None:
                raise Unknown(
                    f"there is no dead letter {partition}/{offset}, or no longer: see `syncline dead-letters list`"
                )
            if (each := self._found(record)) is None:
                raise Unknown(f"{where(record)} is no dead letter that can be read: somebody else wrote it")
            found.append(each)
        return await self._decided(found)

    async def drop(self, letters: Collection[Found]) -> None:
        await self._mark(letters, "dropped")

    async def retry(self, letters: Sequence[Found]) -> list[tuple[Found, str | None]]:
        """Sends the inputs again in this order, then marks them. Returns each letter with None, or with why nothing
        could be sent; such a letter stays as it is. Raises Transient: what was sent may be sent again."""
        counts = await self._counts(letters)
        told: list[tuple[Found, str | None]] = []
        messages: list[tuple[Found, Placed | Message]] = []
        for each in letters:
            try:
                messages.append((each, await self._again(each, counts)))
                told.append((each, None))
            except Unknown as error:
                told.append((each, str(error)))
        async with publisher(self._settings.kafka, "syncline-dead-letters") as publishing:
            await publishing.place(m for _, m in messages if isinstance(m, Placed))
            await publishing.publish(m for _, m in messages if isinstance(m, Message))
        await self._mark([each for each, _ in messages], "retried")
        return told

    async def goes_to(self, found: Found) -> str:
        """What `retry` would do, in words. Raises Unknown, Transient."""
        message = await self._again(found, await self._counts([found]))
        if isinstance(message, Placed):
            return f"sends the input again to {message.topic}/{message.partition}"
        return f"asks the poller to read {found.letter.ref} again"

    async def _again(self, found: Found, counts: dict[str, int]) -> Placed | Message:
        original, place = None, Place.parse(found.letter.position)
        there = place is not None and place.partition < counts.get(place.topic, 0)
        if place and there and (self._moved or reads_again(found.letter)):
            record = await message_at(self._looking, *place)
            if record is not None and moment(record.timestamp) <= found.written:  # else the topic was made anew
                original = Original(record.key, record.value, tuple(record.headers))
        if self._moved and place and original and original.key and place.topic.startswith(f"{self._settings.prefix}."):
            place = place._replace(partition=partition_of(original.key, counts[place.topic]))
        return sent_again(found.letter, place if there else None, original, self._settings.names.requests)

    async def _counts(self, letters: Sequence[Found]) -> dict[str, int]:
        places = (Place.parse(each.letter.position) for each in letters)
        return await partition_counts(self._settings.kafka, (place.topic for place in places if place))

    async def _decided(self, found: Sequence[Found]) -> list[Found]:
        marks = await self._marks.find({each.input for each in found})
        return [
            replace(each, mark=mark)
            if (mark := marks.get(each.input)) and mark.covers(each.offset, each.written)
            else each
            for each in found
        ]

    async def _mark(self, letters: Iterable[Found], done: Done) -> None:
        newest: dict[bytes, Mark] = {}
        for each in letters:
            before = newest.get(each.input)
            if before is None or before.offset < each.offset:
                newest[each.input] = Mark(each.input, each.offset, each.written, done)
        await self._marks.mark(newest.values(), done)

    def _found(self, record: Any) -> Found | None:
        try:
            letter = DeadLetter.decode(record.value)
        except Malformed:
            self.unreadable += 1
            return None
        return Found(record.partition, record.offset, moment(record.timestamp), letter)


def portions(found: Iterable[Found]) -> list[list[Found]]:
    """So many as are dealt with at once; of those about the same input the last."""
    portion: dict[bytes, Found] = {}
    size, done = 0, []
    for each in found:
        portion[each.input] = each
        size += len(each.letter.input or b"")
        if len(portion) >= AT_ONCE or size >= AT_ONCE_BYTES:
            done.append(list(portion.values()))
            portion, size = {}, 0
    return [*done, list(portion.values())] if portion else done


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """Raises Transient, Fatal: when Kafka or PostgreSQL is away, the topic is missing, or the schema is older."""
    async with AsyncExitStack() as stack:
        await check_topics(settings.kafka, [Topic(settings.names.dead_letters)], partitions=settings.partitions)
        url = settings.database_url
        pool = await stack.enter_async_context(connect(url, application="syncline-dead-letters", size=1))
        await check_migrated(pool)
        consumer, looking = [await stack.enter_async_context(reader(settings.kafka)) for _ in range(2)]
        moved = bool(await FormerCounts(pool).all())
        yield Desk(settings, consumer, looking, Marks(pool), moved=moved)
