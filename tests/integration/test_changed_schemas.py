"""The writer on a real Kafka, a real hub and a simulated org, whose schemas change while it runs: what is written to
the one that changed waits, the other direction goes on, and nothing is lost or given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer

from services.poller.sources.salesforce import Pace, SalesforceSource
from services.writer.__main__ import main
from syncline.config.load import load
from syncline.config.model import Config, SalesforceSystem
from syncline.config.settings import Settings
from syncline.contracts.command import Command
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.result import Result
from syncline.contracts.topics import topics
from syncline.local.machine import free_port
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher
from syncline.simorg import DEMO, Options, Org, Schema, serve
from syncline.state import database
from syncline.systems.salesforce import open_salesforce
from tests.conftest import FreshDatabase
from tests.integration.test_go_live import PIPELINES, prepare

PARTITIONS = 1
WITHIN = 30.0
"""Seconds that anything may take on a busy machine."""
NAMES = {"Name": "name", "Phone": "phone"}


@dataclass
class Writing:
    """A writer and both systems. results and letters: what it has published so far."""

    org: Org
    pool: Any
    settings: Settings
    config: Config
    consumer: Any
    running: asyncio.Task[None]
    results: list[Result] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)

    async def say(self, system: str, number: int, **fields: str) -> None:
        """A record of the other system, to be written to this one."""
        to_org = system == "salesforce"
        source = Ref("hub", "company", f"00000000-0000-0000-0000-{number:012}") if to_org else _account(number)
        target = Object("salesforce", "Account") if to_org else Object("hub", "company")
        values: Fields = {"Name": f"Company {number}", **fields}
        seen = {NAMES[name]: value for name, value in values.items()} if to_org else values
        written = values if to_org else {NAMES[name]: value for name, value in values.items()}
        command = Command(
            pipeline="company-to-account" if to_org else "account-to-company",
            op="upsert",
            source=source,
            version="1",
            time="2026-01-01T00:00:00Z",
            target=target,
            fields=written,
            seen=seen,
            inputs={one: [other] for one, other in zip(written, seen, strict=True)},
            key="Hub_Id__c" if to_org else "salesforce_id",
        )
        topic = self.settings.names.commands(system)
        async with publisher(self.settings.kafka, "test") as publishing:
            await publishing.publish([Message(topic, str(source).encode(), command.encode())])

    async def until(self, found: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(WITHIN):
            while not await found():
                if self.running.done():
                    self.running.result()
                for batch in (await self.consumer.getmany(timeout_ms=50)).values():
                    for message in batch:
                        if message.topic == self.settings.names.results:
                            self.results.append(Result.decode(message.value))
                        else:
                            self.letters.append(message.value)

    async def is_written(self, system: str, number: int) -> None:
        """`unchanged` when it was written by a pass that came again."""

        async def found() -> bool:
            return any(
                each.outcome in ("written", "unchanged")
                and f"{number:012}" in str(each.source)
                and each.target is not None
                and each.target.system == system
                for each in self.results
            )

        await self.until(found)

    async def is_paused(self, system: str, paused: bool = True) -> None:
        async def told() -> bool:
            url = f"http://127.0.0.1:{self.settings.metrics_port}/metrics"
            async with aiohttp.ClientSession() as http, http.get(url) as reply:
                return f'syncline_writer_paused{{system="{system}"}} {float(paused)}' in await reply.text()

        await self.until(told)


def _account(number: int) -> Ref:
    return Ref("salesforce", "Account", f"001000{number:012}")


@pytest.fixture
async def writing(
    kafka_address: str, fresh_database: FreshDatabase, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Writing]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(prepare))
        pool = await stack.enter_async_context(database.connect(url, application="dba", size=1))
        org = Org(Schema.standard(DEMO), options=Options(client_secret="right"))
        login_url = await stack.enter_async_context(serve(org))
        (tmp_path / "secret").write_text("right")
        config = load(
            PIPELINES,
            {
                "SALESFORCE_LOGIN_URL": login_url,
                "SALESFORCE_CLIENT_ID": "simorg",
                "SALESFORCE_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
                "SYNCLINE_HUB_URL": url,
            },
        )
        settings = Settings(
            kafka=kafka_address,
            database_url=url,
            prefix=topic_prefix.rstrip("."),
            partitions=PARTITIONS,
            metrics_port=free_port(),
            writer_linger=0.0,
            reject_limit=3,
        )
        wanted = topics(settings.names, config.sources, config.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        names = settings.names
        consumer = AIOKafkaConsumer(
            names.results, names.dead_letters, bootstrap_servers=kafka_address, auto_offset_reset="earliest"
        )
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        stop = asyncio.Event()
        running = asyncio.create_task(main(settings, config, stop))
        yield Writing(org, pool, settings, config, consumer, running)
        stop.set()
        await running


ORG_CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a new required field": ({"fields": [{"name": "Size__c", "type": "double", "nillable": False}]}, []),
    "a removed field": ({}, ["Phone"]),
    "another type": ({"fields": [{"name": "Phone", "type": "double"}]}, []),
}


async def test_what_goes_to_an_org_waits_until_it_is_put_right(writing: Writing) -> None:
    await writing.say("salesforce", 1, Phone="1")
    await writing.is_written("salesforce", 1)
    account = writing.org.schema.sobject("Account")
    assert account is not None
    original = account.source
    for number, (change, without) in enumerate(ORG_CHANGES.values(), 2):
        writing.org.alter("Account", change, without=without)
        for each in range(5):  # more than rejects in a row would be let through
            await writing.say("salesforce", number * 10 + each, Phone="not a number")
        await writing.is_paused("salesforce")
        await writing.say("hub", number)
        await writing.is_written("hub", number)
        account.define(original)
        for each in range(5):
            await writing.is_written("salesforce", number * 10 + each)
        await writing.is_paused("salesforce", paused=False)
    assert writing.letters == []
    assert len(writing.org.records("Account")) == 1 + 5 * len(ORG_CHANGES)


HUB_CHANGES = {
    "a new required column": (
        "ALTER TABLE hub.companies ADD size int NOT NULL DEFAULT 0; ALTER TABLE hub.companies ALTER size DROP DEFAULT",
        "ALTER TABLE hub.companies ALTER size SET DEFAULT 0",
    ),
    "a removed column": (
        "ALTER TABLE hub.companies RENAME phone TO telephone",
        "ALTER TABLE hub.companies RENAME telephone TO phone",
    ),
    "another type": (
        "ALTER TABLE hub.companies ALTER phone TYPE boolean USING NULL",
        "ALTER TABLE hub.companies ALTER phone TYPE text",
    ),
}


async def test_what_goes_to_the_hub_waits_until_it_is_put_right(writing: Writing) -> None:
    await writing.say("hub", 1, Phone="1")
    await writing.is_written("hub", 1)
    for number, (change, back) in enumerate(HUB_CHANGES.values(), 2):
        await writing.pool.execute(change)
        for each in range(5):
            await writing.say("hub", number * 10 + each, Phone="not a number")
        await writing.is_paused("hub")
        await writing.say("salesforce", number)
        await writing.is_written("salesforce", number)
        await writing.pool.execute(back)
        for each in range(5):
            await writing.is_written("hub", number * 10 + each)
        await writing.is_paused("hub", paused=False)
    assert writing.letters == []
    assert await writing.pool.fetchval("SELECT count(*) FROM hub.companies") == 1 + 5 * len(HUB_CHANGES)


async def test_a_record_that_is_wrong_by_itself_is_a_dead_letter_and_stops_nothing(writing: Writing) -> None:
    writing.org.alter("Account", {"fields": [{"name": "Name", "nillable": False}]})
    await writing.say("salesforce", 1, Name="")
    await writing.say("salesforce", 2)
    await writing.is_written("salesforce", 2)
    await writing.is_paused("salesforce", paused=False)
    assert len(writing.letters) == 1
    assert b"REQUIRED_FIELD_MISSING" in writing.letters[0]


async def test_a_change_that_the_mapping_takes_pauses_nothing(writing: Writing) -> None:
    await writing.pool.execute("ALTER TABLE hub.companies ADD note text")
    writing.org.alter("Account", {"fields": [{"name": "Note__c", "type": "string", "length": 10}]})
    for system in ("hub", "salesforce"):
        await writing.say(system, 1, Phone="1")
        await writing.is_written(system, 1)
    assert writing.letters == []


async def test_an_object_whose_field_is_gone_is_read_on_once_it_is_back() -> None:
    """The poller pauses such an object (its loop is tested by itself); what matters is that nothing is passed over."""
    moment = [datetime.now(UTC)]
    org = Org(Schema.standard(DEMO), clock=lambda: moment[-1], options=Options(client_secret="right"))
    org.load({"Account": [{"Name": "before"}]})
    async with serve(org) as url:
        system = SalesforceSystem.model_validate(
            {
                "kind": "salesforce",
                "login_url": url,
                "auth": {"flow": "client_credentials", "client_id": "simorg", "client_secret": "right"},
            }
        )
        async with open_salesforce(system, rng=random.Random(1), budget=5.0) as client:
            source = SalesforceSource(
                Object("salesforce", "Account"),
                client,
                Pace(),
                instance="i",
                fields=["Name", "Phone"],
                days=7,
                lag=2,
                overlap=300,
                interval=30,
            )
            moment.append(moment[-1] + timedelta(seconds=10))
            (first,) = [page async for page in source.pages(None)]
            account = org.schema.sobject("Account")
            assert account is not None
            original = account.source
            org.alter("Account", {}, without=["Phone"])
            org.load({"Account": [{"Name": "meanwhile"}]})
            moment.append(moment[-1] + timedelta(seconds=10))
            with pytest.raises(Fatal, match=r"No such column 'Phone'.* Check the field's API name"):
                [page async for page in source.pages(first.position)]
            account.define(original)
            (then,) = [page async for page in source.pages(first.position)]
    assert [each.fields["Name"] for each in then.changes] == ["meanwhile"]
