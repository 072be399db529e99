"""The mapper's door: events of other systems, on topics of theirs, go on as change events of ours.

A pass is published and only then committed: at least once. An event that comes twice has the same id and version.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from syncline.config.settings import Settings
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from syncline.contracts.topics import Names
from syncline.runtime.admin import check_present
from syncline.runtime.consume import Record, consume
from syncline.runtime.kafka import Message as Sent
from syncline.runtime.kafka import publisher
from syncline.runtime.waiting import patiently

PASS = 2_000
"""Most events in one pass."""
LINGER = 0.05
TOLD = 1_000
"""Characters of what a dead letter says: an event may hold megabytes where a word is expected."""


class Doors:
    """From foreign messages to ours; pure but for its counts, which tell what became of them."""

    def __init__(self, doors: Mapping[str, Door], names: Names, *, own: Collection[str] = ()) -> None:
        """`doors`: foreign topic to how it is read. Raises Fatal for one of our own topics, which would feed itself."""
        if ours := sorted(set(own) & doors.keys()):
            raise Fatal(f"{', '.join(ours)} is a topic of Syncline's own: name the topic that the other system fills")
        self.topics = tuple(doors)
        self._doors = doors
        self._names = names
        self.counts: Counter[str] = Counter()

    def messages(self, records: Sequence[Record]) -> Iterator[Sent]:
        for record in records:
            try:
                read_ = read(self._doors[record.topic], Message(record.key, record.value, record.headers))
            except RecordRejected as error:
                self.counts["rejected"] += 1
                yield self._dead_letter(error, record)
            else:
                self.counts["forwarded" if read_ else "tombstone"] += 1
                if read_:
                    change, event = read_
                    yield Sent(self._names.changes(change.ref.kind), change.ref.id.encode(), event)

    def _dead_letter(self, error: RecordRejected, record: Record) -> Sent:
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value)
        told = replace(letter, message=letter.message[:TOLD], fields=tuple(each[:TOLD] for each in letter.fields))
        return Sent(self._names.dead_letters, told.key, told.encode())


async def serve_doors(doors: Doors, settings: Settings, stop: asyncio.Event, rng: random.Random) -> None:
    """Forward until `stop` is set; does nothing where no pipeline reads a stream. The replicas share the partitions."""
    if not doors.topics:
        return
    try:
        await patiently(lambda: check_present(settings.kafka, doors.topics), "other systems", stop=stop, rng=rng)
    except Transient:
        return  # told to stop while it waited
    async with publisher(settings.kafka, f"{settings.instance}-doors", settings.partitions) as publishing:
        await consume(
            doors.topics,
            lambda records: publishing.publish(doors.messages(records)),
            address=settings.kafka,
            group=f"{settings.prefix}-doors",
            client_id=settings.instance,
            stop=stop,
            linger=LINGER,
            most=PASS,
            session_timeout=settings.session_timeout,
            rng=rng,
        )
