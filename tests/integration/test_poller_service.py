"""The poller as a process, on a real Kafka, a real hub and a simulated org: what changes becomes an event."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaConsumer

from syncline.contracts.change import Change
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import Names, topics
from syncline.local.machine import free_port
from syncline.local.processes import Child, url
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher
from syncline.simorg import DEMO, Fault, Options, Org, Schema, serve
from tests.conftest import FreshDatabase
from tests.integration.hub_database import OBJECTS, hub

COMPANY, ACCOUNT = Object("hub", "company"), Object("salesforce", "Account")
PARTITIONS = 2
WITHIN = 30.0
"""Seconds that anything may take on a busy machine."""


def pipelines(database_url: str, login_url: str, secret: str) -> dict[str, Any]:
    return {
        "systems": {
            "hub": {
                "kind": "postgres",
                "url": database_url,
                "poll_interval": 0.2,
                "objects": {name: each.model_dump() for name, each in OBJECTS.items()},
            },
            "salesforce": {
                "kind": "salesforce",
                "login_url": login_url,
                "auth": {"flow": "client_credentials", "client_id": "simorg", "client_secret": secret},
                "poll": {"interval": 0.2},
            },
        },
        "pipelines": {
            "up": {"from": "hub.company", "to": "salesforce.Account", "fields": {"Name": "name", "Phone": "phone"}},
            "down": {"from": "salesforce.Account", "to": "hub.company", "fields": {"name": "Name", "phone": "Phone"}},
        },
    }


@dataclass
class Service:
    """A poller process and all that it works on. Events are read from the beginning of the topics."""

    org: Org
    pool: Any
    names: Names
    kafka: str
    poller: Child
    consumer: Any
    seen: list[Any]

    async def until(self, found: Any, *, of: str | None = None) -> list[Any]:
        """All messages (of a topic) since the test began, as soon as `found` of them is true."""
        async with asyncio.timeout(WITHIN):
            while True:
                chosen = [message for message in self.seen if of is None or message.topic == of]
                if found(chosen):
                    return chosen
                for batch in (await self.consumer.getmany(timeout_ms=100)).values():
                    self.seen += batch

    async def events(self, kind: Object, count: int) -> list[Change]:
        """At least `count` different ones."""

        def enough(messages: list[Any]) -> bool:
            return len({Change.decode(message.value).id for message in messages}) >= count

        return [Change.decode(message.value) for message in await self.until(enough, of=self.names.changes(kind))]

    async def log_says(self, text: str) -> None:
        async with asyncio.timeout(WITHIN):
            while text not in self.poller.log_since_start():
                await asyncio.sleep(0.02)

    async def add_company(self, name: str) -> str:
        return str(await self.pool.fetchval("INSERT INTO hub.companies (name) VALUES ($1) RETURNING id", name))

    def add_account(self, name: str, *, days_ago: float = 0) -> str:
        stamp = (self.org.clock() - timedelta(days=days_ago)).isoformat()
        return self.org.load({"Account": [{"Name": name, "SystemModstamp": stamp}]})["Account"][0]


@pytest.fixture
async def service(
    kafka_address: str, fresh_database: FreshDatabase, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Service]:
    """Not started yet."""
    async with AsyncExitStack() as running:
        database_url, pool = await running.enter_async_context(hub(fresh_database))
        org = Org(Schema.standard(DEMO), options=Options(client_secret="right"))
        login_url = await running.enter_async_context(serve(org))
        names = Names(topic_prefix.rstrip("."))
        sources = [COMPANY, ACCOUNT]
        await create_topics(
            kafka_address, topics(names, sources, ["hub", "salesforce"]), partitions=PARTITIONS, replication=1
        )
        (tmp_path / "pipelines.yaml").write_text(yaml.safe_dump(pipelines(database_url, login_url, "right")))
        port = free_port()
        poller = Child(
            "poller",
            [sys.executable, "-m", "services.poller"],
            tmp_path,
            env={
                "SYNCLINE_KAFKA": kafka_address,
                "SYNCLINE_DATABASE_URL": database_url,
                "SYNCLINE_PIPELINES": str(tmp_path / "pipelines.yaml"),
                "SYNCLINE_PREFIX": names.prefix,
                "SYNCLINE_PARTITIONS": str(PARTITIONS),
                "SYNCLINE_INSTANCE": "poller-1",
                "SYNCLINE_METRICS_PORT": str(port),
                "SYNCLINE_SESSION_TIMEOUT": "6",
            },
            ready=url(f"http://127.0.0.1:{port}/ready"),
        )
        consumer = AIOKafkaConsumer(
            *map(names.changes, sources),
            names.dead_letters,
            bootstrap_servers=kafka_address,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        running.push_async_callback(consumer.stop)
        yield Service(org, pool, names, kafka_address, poller, consumer, [])
        if poller.alive:
            await poller.kill()


async def test_changes_of_every_source_become_events_and_requests_are_answered(service: Service) -> None:
    account, company = service.add_account("Globex", days_ago=1), await service.add_company("Acme")
    await service.poller.start()
    (from_org,) = await service.events(ACCOUNT, 1)
    (from_hub,) = await service.events(COMPANY, 1)
    assert (from_org.op, from_org.ref.id, from_org.fields) == ("snapshot", account, {"Name": "Globex", "Phone": None})
    assert (from_hub.op, from_hub.ref.id, from_hub.fields["name"]) == ("snapshot", company, "Acme")
    assert service.seen[0].key in {account.encode(), company.encode()}

    await service.pool.execute("UPDATE hub.companies SET phone = '1'")
    second = service.add_account("Initech")
    assert (await service.events(COMPANY, 2))[-1].fields["phone"] == "1"
    assert (await service.events(ACCOUNT, 2))[-1].ref.id == second

    asked = [Ref(*ACCOUNT, account), Ref(*COMPANY, "00000000-0000-0000-0000-000000000000")]
    async with publisher(service.kafka, "test") as publishing:
        await publishing.publish(
            Message(service.names.requests, str(ref).encode(), Request(ref=ref, reason="a child waits").encode())
            for ref in asked
        )
    letters = await service.until(len, of=service.names.dead_letters)
    assert [DeadLetter.decode(letter.value).code for letter in letters] == ["PARENT_NOT_FOUND"]

    def answered(messages: list[Any]) -> bool:
        return Counter(message.key for message in messages)[account.encode()] == 2

    again = await service.until(answered, of=service.names.changes(ACCOUNT))
    assert len({Change.decode(message.value).id for message in again if message.key == account.encode()}) == 1
    assert await service.poller.stop(WITHIN) == 0


async def test_killed_between_publishing_and_storing_it_repeats_events_and_misses_none(service: Service) -> None:
    keys = {await service.add_company(f"Company {number}") for number in range(5)}
    async with service.pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE syncline.cursors IN EXCLUSIVE MODE")  # reading goes on, storing waits
        await service.poller.start()
        first = await service.events(COMPANY, 5)
        await service.poller.kill()
        await service.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'syncline-poller'"
        )
        await transaction.rollback()
    assert await service.pool.fetchval("SELECT count(*) FROM syncline.cursors") == 0
    keys.add(await service.add_company("Made while it was dead"))
    await service.poller.start()

    def repeated(messages: list[Any]) -> bool:
        return len(messages) >= len(first) + 6

    events = [Change.decode(m.value) for m in await service.until(repeated, of=service.names.changes(COMPANY))]
    assert {event.ref.id for event in events} == keys
    times = Counter(event.id for event in events)
    assert {times[event.id] for event in first} == {2}
    assert len(times) == 6


async def test_an_org_that_is_down_is_waited_for_while_the_hub_goes_on(service: Service) -> None:
    down = Fault("error_html", probability=1.0)
    service.org.faults.rules.append(down)
    account = service.add_account("Globex")
    await service.poller.start()
    await service.add_company("Acme")
    await service.events(COMPANY, 1)
    await service.log_says("salesforce call repeated")
    assert not [message for message in service.seen if message.topic == service.names.changes(ACCOUNT)]
    service.org.faults.rules.remove(down)
    assert [event.ref.id for event in await service.events(ACCOUNT, 1)] == [account]


async def test_wrong_credentials_end_it_with_salesforces_own_words(service: Service) -> None:
    path = Path(service.poller.env["SYNCLINE_PIPELINES"])
    path.write_text(path.read_text().replace("right", "wrong"))
    service.poller.ready = None
    await service.poller.start()
    assert await asyncio.wait_for(service.poller.wait(), WITHIN) == 2
    assert "invalid_client" in service.poller.log_tail()
    assert "wrong" not in service.poller.log_tail()


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("DROP SCHEMA syncline CASCADE", "run `syncline migrate`"),
        ("DROP SCHEMA syncline_capture CASCADE", "run `syncline migrate`"),
    ],
)
async def test_a_missing_migration_ends_it_with_what_to_do(service: Service, statement: str, advice: str) -> None:
    await service.pool.execute(statement)
    service.poller.ready = None
    await service.poller.start()
    assert await asyncio.wait_for(service.poller.wait(), WITHIN) == 2
    assert advice in service.poller.log_tail()


async def test_missing_topics_end_it_with_what_to_do(service: Service) -> None:
    service.poller.env = {**service.poller.env, "SYNCLINE_PREFIX": "elsewhere"}
    service.poller.ready = None
    await service.poller.start()
    assert await asyncio.wait_for(service.poller.wait(), WITHIN) == 2
    assert "topic elsewhere.changes.hub.company is missing: run `syncline topics`" in service.poller.log_tail()


async def test_a_mapped_field_that_is_gone_pauses_its_object_and_no_other(service: Service) -> None:
    await service.pool.execute("ALTER TABLE hub.companies DROP COLUMN phone")
    account = service.add_account("Globex")
    await service.poller.start()
    assert [event.ref.id for event in await service.events(ACCOUNT, 1)] == [account]
    await service.log_says("hub.companies has no phone")
    assert service.poller.alive
