"""The two systems that a writer writes to, each behind the same words, so that one suite holds both to one contract."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import aiohttp
from pydantic import SecretStr

from services.poller.cursor import normal
from services.writer.sinks import Saved, Sink, Write, Written
from services.writer.sinks.postgres import PostgresSink, postgres_sink
from services.writer.sinks.salesforce import SalesforceSink, salesforce_sink
from syncline.config.model import PostgresSystem
from syncline.contracts.ref import Fields, Value
from syncline.hub import capture
from syncline.salesforce.auth import ClientCredentials
from syncline.salesforce.client import Salesforce
from syncline.salesforce.transport import HttpTransport
from syncline.simorg.faults import Fault
from syncline.simorg.metadata import DEMO, Schema
from syncline.simorg.org import Options, Org
from syncline.simorg.server import serve
from tests.conftest import FreshDatabase
from tests.integration.hub_database import OBJECTS, hub

VISITS = Path(__file__).parent / "visits"
"""An object that refers to Contacts and keeps them from being deleted."""


def now() -> datetime:
    return datetime.now(UTC)


class World(Protocol):
    """A person in a system, whose fields the tests call first, last, email, phone, key (the mark of its counterpart)
    and parent."""

    name: str
    names: Mapping[str, str]
    nowhere: str
    """Parses as an id, but names no record."""

    @property
    def sink(self) -> Sink: ...

    async def rows(self) -> list[Fields]:
        """Every person as the system itself shows it, by the tests' words."""

    async def visit(self, person: str) -> str:
        """Make a row that refers to the person; returns the code with which the person's deletion is then refused."""

    async def leave(self) -> None:
        """Delete those rows."""

    async def deletion(self, person: str) -> tuple[str, str]:
        """The earliest and the latest version that the sink may tell of a person's deletion, by the system's event."""

    async def stop(self) -> None:
        """Make the system unreachable."""


@dataclass
class SalesforceWorld:
    sink: SalesforceSink
    org: Org
    name: str = "Contact"
    names: Mapping[str, str] = field(
        default_factory=lambda: {
            "first": "FirstName",
            "last": "LastName",
            "email": "Email",
            "phone": "Phone",
            "key": "Hub_Id__c",
            "parent": "AccountId",
        }
    )
    nowhere: str = "001000000000099AAA"

    async def rows(self) -> list[Fields]:
        return [{word: record.get(each) for word, each in self.names.items()} for record in self.org.records("Contact")]

    async def visit(self, person: str) -> str:
        self.org.load({"Visit__c": [{"Contact__c": person}]})
        return "DELETE_FAILED"

    async def leave(self) -> None:
        self.org.load({"Visit__c": [{"Id": each["Id"], "deleted": True} for each in self.org.records("Visit__c")]})

    async def deletion(self, person: str) -> tuple[str, str]:
        """The stamp has whole seconds: what the sink tells may be of any moment before."""
        (row,) = (each for each in self.org.records("Contact") if each["Id"] == person)
        return normal(str(row["CreatedDate"])), normal(str(row["SystemModstamp"]))

    async def stop(self) -> None:
        self.org.faults.rules.append(Fault("error_html", probability=1.0))


@dataclass
class HubWorld:
    sink: PostgresSink
    url: str
    pool: Any
    name: str = "customer"
    names: Mapping[str, str] = field(
        default_factory=lambda: {
            "first": "first_name",
            "last": "last_name",
            "email": "email",
            "phone": "phone",
            "key": "salesforce_id",
            "parent": "company_id",
        }
    )
    nowhere: str = "00000000-0000-4000-8000-000000000000"

    async def rows(self) -> list[Fields]:
        records = await self.pool.fetch("SELECT * FROM hub.customers ORDER BY last_name")
        return [{word: record[each] for word, each in self.names.items()} for record in records]

    async def visit(self, person: str) -> str:
        await self.pool.execute("CREATE TABLE IF NOT EXISTS hub.visits (customer_id uuid REFERENCES hub.customers)")
        await self.pool.execute("INSERT INTO hub.visits VALUES ($1)", UUID(person))
        return "foreign_key_violation"

    async def leave(self) -> None:
        await self.pool.execute("DELETE FROM hub.visits")

    async def deletion(self, person: str) -> tuple[str, str]:
        """The log's own: an event of before it would else pass for a change of after it."""
        async with self.pool.acquire() as connection:
            version = (await capture.versions(connection, self.name, [person]))[person].text
        return version, version

    async def stop(self) -> None:
        await self.sink.pool.close()


@asynccontextmanager
async def salesforce_world(clock: Callable[[], datetime] = now) -> AsyncIterator[SalesforceWorld]:
    org = Org(Schema.standard(DEMO, VISITS), clock=clock, rng=random.Random(1), options=Options(client_secret="s"))
    async with serve(org) as url, aiohttp.ClientSession() as session:
        client = Salesforce(
            HttpTransport(session),
            ClientCredentials("simorg", "s"),
            login_url=url,
            clock=now,
            rng=random.Random(1),
            budget=0.2,
        )
        yield SalesforceWorld(await salesforce_sink(client, ["Account", "Contact"]), org)


@asynccontextmanager
async def hub_world(fresh_database: FreshDatabase) -> AsyncIterator[HubWorld]:
    async with hub(fresh_database) as (url, pool):
        system = PostgresSystem(kind="postgres", url=SecretStr(url), objects=OBJECTS)
        async with postgres_sink(system) as sink:
            yield HubWorld(sink, url, pool)


@dataclass
class People:
    """The tests' view: fields by the tests' words."""

    world: World

    def named(self, values: Mapping[str, Value]) -> Fields:
        return {self.world.names[word]: value for word, value in values.items()}

    def words(self, values: Fields) -> Fields:
        names = {each: word for word, each in self.world.names.items()}
        return {names[each]: value for each, value in values.items()}

    def create(self, key: str | None = None, **values: Value) -> Write:
        return Write(None, self.named(values), (self.world.names["key"], key) if key else None)

    def patch(self, record_id: str, **values: Value) -> Write:
        return Write(record_id, self.named(values))

    async def write(self, *writes: Write) -> Sequence[Written]:
        return await self.world.sink.write(self.world.name, writes)

    async def saved(self, *writes: Write) -> list[Saved]:
        """The writes must all succeed."""
        outcomes = await self.write(*writes)
        assert all(isinstance(outcome, Saved) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Saved)]

    async def delete(self, *ids: str) -> Sequence[Written]:
        return await self.world.sink.delete(self.world.name, ids)

    async def add(self, **values: Value) -> str:
        return (await self.saved(self.create(None, **values)))[0].id

    async def read(self, *ids: str) -> dict[str, Fields]:
        found = await self.world.sink.read(self.world.name, ids, list(self.world.names.values()))
        return {each: self.words(present.values) for each, present in found.items()}

    async def match(self, rule: Sequence[str], *values: tuple[Value, ...]) -> list[set[str]]:
        named = tuple(self.world.names[word] for word in rule)
        found = await self.world.sink.match(self.world.name, named, values, [self.world.names["last"]])
        return [{present.id for present in many} for many in found]
