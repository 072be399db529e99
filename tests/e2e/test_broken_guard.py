"""An older command after a newer one: the writer's version guard keeps it out, and without the guard this is seen."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from syncline.contracts.command import Command
from syncline.local.demo import both
from syncline.local.demo.compare import Comparison, compare
from syncline.local.demo.edits import CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.processes import line, spawn
from syncline.local.system import SERVICES
from syncline.runtime.kafka import Message, publisher
from tests.e2e.conftest import Whole
from tests.e2e.people import small

UNGUARDED = """
import runpy
from msgspec import structs
from services.writer import plan

guarded = plan.settled_by_link
plan.settled_by_link = lambda command, link: guarded(structs.replace(command, version="~") if link else command, link)
runpy.run_module("services.writer", run_name="__main__")
"""
"""The writer, to whose guard every command is the newest."""

OLDER, NEWER = "+41 31 000 00 01", "+41 31 000 00 02"
EMAIL = "customer29@shop.example"


async def test_the_guard_keeps_an_older_command_out_and_without_it_both_sides_differ(whole: Whole) -> None:
    async with whole() as told:
        system = told.system
        await told.fill(small(9))
        await asyncio.gather(*(system.start(service) for service in SERVICES))
        await told.settled()
        for phone in (OLDER, NEWER):
            await told.hub.execute("UPDATE hub.customers SET phone = $1 WHERE email = $2", phone, EMAIL)
            await told.settled(partial(shows, phone))
        # From here on nobody else can mend what the writer does.
        for service in ("poller-0", "mapper-0"):
            assert await system.services.pop(service).stop() == 0

        older = [each for each in await commands(told) if each.fields.get("Phone") == OLDER]
        assert older
        assert (await deliver(told, older[0])).equal
        assert str(older[0].source) in told.running.seen.skipped["a newer version was applied"]

        assert await system.services.pop("writer-0").stop() == 0
        unguarded = await spawn(
            "writer-unguarded",
            [sys.executable, "-c", UNGUARDED],
            env={**system.environ, "SYNCLINE_INSTANCE": "writer-unguarded"},
            log_dir=system.folder / "logs",
            ready=line("health endpoint"),
        )
        system.services["writer-unguarded"] = unguarded
        comparison = await deliver(told, older[0])
        assert len(comparison.differing) == 2, "from either side"
        assert all(OLDER in each and NEWER in each for each in comparison.differing)


def shows(phone: str, records: Any) -> bool:
    return phone_of(records) == phone


def phone_of(records: Any) -> str:
    [contact] = [each for each in records[CONTACT].values() if each.get("Email") == EMAIL]
    return str(contact.get("Phone"))


async def commands(told: Story) -> list[Command]:
    """Everything that was ever asked of Salesforce."""
    topic = told.system.names.commands(CONTACT.system)
    places = [TopicPartition(topic, number) for number in range(told.system.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=told.system.stack.kafka_address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found = []
        for place in places:
            while await consumer.position(place) < ends[place]:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += [Command.decode(record.value) for record in batch]
        return found
    finally:
        await consumer.stop()


async def deliver(told: Story, command: Command) -> Comparison:
    """Once more, late; returns how both sides compare when the writer has told its result."""
    outcomes = told.running.seen.outcomes.total()
    key = str(command.source).encode()
    async with publisher(told.system.stack.kafka_address, "late") as late:
        await late.publish([Message(told.system.names.commands(command.target.system), key, command.encode())])
    await told.until(lambda: told.running.seen.outcomes.total() > outcomes, "the writer's result")
    records = await both.records(told.system, told.hub, told.http)
    [customer] = [each for each in records[CUSTOMER].values() if each["email"] == EMAIL]
    assert customer["phone"] == NEWER
    skipped = {each for many in told.running.seen.skipped.values() for each in many}
    return compare(told.system.config, records, await both.pairs(told.state), skipped)
