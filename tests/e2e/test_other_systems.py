"""Another system's Debezium and CloudEvents streams become Contacts and records of a custom object."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from syncline.contracts.foreign.door import Message
from syncline.contracts.topics import Topic
from syncline.local.demo.run import Story
from syncline.runtime.admin import create_topics
from tests.e2e.conftest import SESSION_TIMEOUT, Whole
from tests.unit.foreign.samples import (
    DELETE,
    KEY,
    PLACEHOLDER,
    TOMBSTONE,
    TRUNCATE,
    WITH_SCHEMA,
    binary,
    envelope,
    structured,
)

SHOP = Path(__file__).parent / "shop"


def customer(id: int, op: str, at: int, **row: Any) -> Message:
    """A schemaless envelope; `at` is the position of the commit before it."""
    after = {"id": id, "first_name": f"Customer {id}", "email": f"c{id}@shop.example", "notes": None, **row}
    message = envelope(op, after=after, sequence=f'["{at}","{at + 8}"]', lsn=at + 8)
    return message._replace(key=orjson.dumps({"id": id}))


async def test_two_streams_feed_contacts_and_a_custom_object(whole: Whole, topic_prefix: str) -> None:
    customers, visits = f"{topic_prefix}dbserver.public.customers", f"{topic_prefix}visits"
    options: dict[str, Any] = {
        "pipelines": SHOP / "pipelines.yaml",
        "org": ["--overlay", str(SHOP)],
        "environ": {**SESSION_TIMEOUT, "SHOP_CUSTOMERS": customers, "SHOP_VISITS": visits},
    }
    async with whole(**options) as told:
        kafka = told.system.stack.kafka_address
        await create_topics(kafka, [Topic(customers)], partitions=3, replication=1)
        await create_topics(kafka, [Topic(visits)], partitions=1, replication=1)
        for service in ("poller", "mapper", "writer"):
            await told.system.start(service)

        at_home = {
            "op": "create",
            "complete": True,
            "version": "1",
            "fields": {"customer": "1002", "place.city": "Oslo"},
        }
        in_town = {**at_home, "fields": {"customer": "1001", "place": "town", "place.city": "Rome"}}
        await publish(kafka, visits, [structured(subject="v-1", data=at_home), binary(in_town, subject="v-2")])
        await told.until(lambda: codes(told) == ["CANNOT_BE_READ"] * 2, "the visits to wait for their customers")

        old = customer(1002, "u", 34_000_000, first_name="Stale")
        await publish(kafka, customers, [WITH_SCHEMA, customer(1002, "r", 34_497_640), old])
        await told.until(lambda: told.running.seen.total("created") == 4, "Contacts, then their visits")
        contacts = await contacts_once(told, lambda found: found.keys() == {"1001", "1002"})
        sally = contacts["1001"]
        assert (sally["LastName"], sally["Email"], sally["Birthdate"]) == ("Sally", "sally@acme.example", "1990-01-01")
        assert sally["Balance__c"] == 123.45
        assert contacts["1002"]["LastName"] == "Customer 1002"
        assert {
            (each["Shop_Id__c"], each["City__c"], each["Contact__c"]) for each in await records(told, "Visit__c")
        } == {
            ("v-1", "Oslo", contacts["1002"]["Id"]),
            ("v-2", "Rome", sally["Id"]),
        }

        noted = customer(1002, "u", 34_500_000, notes="keep")
        kept = customer(1002, "u", 34_500_100, notes=PLACEHOLDER, email=None)
        gone = structured(subject="v-2", data={"op": "delete", "version": "2"})
        await publish(kafka, customers, [noted, kept, TRUNCATE, Message(KEY, b"\x00\x00\x00\x00\x07avro")])
        await publish(kafka, visits, [gone, Message(b"v-9", b'{"specversion": "1.0"}')])
        await told.until(lambda: len(told.running.seen.letters) == 5, "what cannot be read")
        await told.until(lambda: told.running.seen.total("patched") >= 1, "the update")
        second = (await contacts_once(told, lambda found: not found["1002"].get("Email")))["1002"]
        assert second["Description"] == "keep"
        assert sorted(codes(told))[2:] == ["MALFORMED", "MALFORMED", "UNSUPPORTED"]
        places = {letter.position.rpartition("/")[0].rpartition("/")[0] for letter in told.running.seen.letters[2:]}
        assert places == {customers, visits}

        newer = envelope(
            "d", before=orjson.loads(DELETE.value or b"")["before"], after=None, sequence='["34600000","1"]'
        )
        await publish(kafka, customers, [newer, TOMBSTONE])
        await contacts_once(told, lambda found: "1001" not in found)


def codes(told: Story) -> list[str]:
    return [letter.code for letter in told.running.seen.letters]


async def records(told: Story, name: str) -> list[dict[str, Any]]:
    async with told.http.get(f"{told.system.org_url}/simorg/records/{name}") as reply:
        return [each for each in (await reply.json())["records"] if not each["IsDeleted"]]


async def contacts_once(told: Story, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The Contacts by the shop's ids, as soon as they are as wanted."""
    async with asyncio.timeout(60):
        while not holds(found := {each["Shop_Id__c"]: each for each in await records(told, "Contact")}):
            await asyncio.sleep(0.1)
    return found


async def publish(kafka: str, topic: str, messages: list[Message]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for each in messages:  # each record's changes in one partition, as their producers do
            await producer.send_and_wait(topic, each.value, each.key, partition=0, headers=list(each.headers))
    finally:
        await producer.stop()
