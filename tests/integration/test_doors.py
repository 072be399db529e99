"""The mapper's door on a real broker: what lies on foreign topics comes out once, as a change or a dead letter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.mapper.doors import Doors, serve_doors
from syncline.config.settings import Settings
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import RecordRejected
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from syncline.contracts.ref import Object
from syncline.contracts.topics import Topic, topics
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import partition_of
from tests.unit.foreign.mutations import CLOUDEVENTS, DEBEZIUM, mutated
from tests.unit.foreign.samples import CUSTOMER, cloudevents, debezium

PARTITIONS = 4
EACH = 5_000
VISIT = Object("shop", "visit")


def sendable(samples: Sequence[Message], rng: random.Random) -> Message:
    """The client sends no message without key and value, though a broker would take it."""
    message = mutated(rng.choice(samples), rng)
    return Message(b"k", None, message.headers) if message[:2] == (None, None) else message


async def produce(address: str, messages: Iterable[tuple[str, int, Message]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20)
    await producer.start()
    try:
        for topic, number, message in messages:
            await producer.send(topic, message.value, message.key, partition=number, headers=list(message.headers))
    finally:
        await producer.stop()


async def run_until(doors: Doors, settings: Settings, count: int) -> None:
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_doors(doors, settings, stop, random.Random(1)))
    async with asyncio.timeout(90):
        while doors.counts.total() < count and not serving.done():
            await asyncio.sleep(0.02)
    stop.set()
    await serving


async def read_all(address: str, topic: str, partitions: int) -> list[Any]:
    places = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=address)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        records: list[Any] = []
        while len(records) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


def event(door: Door, message: Message) -> bytes | None:
    """What is expected of a message; None where it is refused or says nothing."""
    try:
        found = read(door, message)
    except RecordRejected:
        return None
    return found[1] if found else None


@pytest.fixture
def settings(kafka_address: str, topic_prefix: str) -> Settings:
    return Settings(kafka=kafka_address, prefix=topic_prefix.rstrip("."), partitions=PARTITIONS, session_timeout=6)


async def test_ten_thousand_events_are_changes_or_letters_and_none_is_lost(settings: Settings) -> None:
    names, rng = settings.names, random.Random(7)
    doors = {
        f"{settings.prefix}.dbserver.customers": debezium(),
        f"{settings.prefix}.visits": Door(
            format="cloudevents", kind=VISIT, fields=cloudevents().fields, ops={"own": "update", "gone": "delete"}
        ),
    }
    (customers, visits) = doors
    await create_topics(settings.kafka, [Topic(customers)], partitions=3, replication=1)
    await create_topics(settings.kafka, [Topic(visits)], partitions=1, replication=1)
    await create_topics(settings.kafka, topics(names, [CUSTOMER, VISIT], ["hub"]), partitions=PARTITIONS, replication=1)
    sent = [(customers, sendable(DEBEZIUM, rng)) for _ in range(EACH)]
    sent += [(visits, sendable(CLOUDEVENTS, rng)) for _ in range(EACH)]
    await produce(
        settings.kafka.servers,
        ((topic, rng.randrange(3) if topic == customers else 0, message) for topic, message in sent),
    )

    first, second = Doors(doors, names), Doors(doors, names)
    await run_until(first, settings, EACH // 2)  # a replica that ends in the midst
    await run_until(second, settings, 2 * EACH - first.counts.total())
    counts = first.counts + second.counts
    assert counts.total() == 2 * EACH

    expected = [event(doors[topic], message) for topic, message in sent]
    changes = [
        record
        for kind in (CUSTOMER, VISIT)
        for record in await read_all(settings.kafka.servers, names.changes(kind), PARTITIONS)
    ]
    assert Counter(record.value for record in changes) == Counter(each for each in expected if each)
    assert len(changes) == counts["forwarded"] > EACH / 4
    assert all(record.partition == partition_of(record.key, PARTITIONS) for record in changes)
    letters = [
        DeadLetter.decode(each.value) for each in await read_all(settings.kafka.servers, names.dead_letters, PARTITIONS)
    ]
    assert len({letter.position for letter in letters}) == len(letters) == counts["rejected"] > EACH / 4
    assert all(letter.message and letter.remedy and letter.code for letter in letters)


async def test_a_topic_that_is_not_there_yet_is_waited_for(settings: Settings) -> None:
    topic = f"{settings.prefix}.later"
    doors = Doors({topic: debezium()}, settings.names)
    await create_topics(settings.kafka, topics(settings.names, [CUSTOMER], []), partitions=PARTITIONS, replication=1)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_doors(doors, settings, stop, random.Random(1)))
    await create_topics(settings.kafka, [Topic(topic)], partitions=1, replication=1)
    await produce(settings.kafka.servers, [(topic, 0, Message(None, b"no json"))])
    async with asyncio.timeout(30):
        while not doors.counts["rejected"]:
            await asyncio.sleep(0.02)
    stop.set()
    await serving
    unknown = Doors({f"{settings.prefix}.never": debezium()}, settings.names)
    waiting = asyncio.create_task(serve_doors(unknown, settings, stop, random.Random(1)))
    async with asyncio.timeout(30):
        await waiting  # told to stop while it waits
