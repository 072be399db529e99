"""People's hands: a few records made, changed, deleted and restored in either system, when a test says so."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from syncline.config.model import SalesforceSystem
from syncline.contracts.ref import Fields, Object
from syncline.local.demo import both
from syncline.local.demo.data import Row, id18
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import PATIENCE, Story
from syncline.local.system import PIPELINES
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import Saved
from syncline.systems.salesforce import open_salesforce

NAMED = {ACCOUNT: "AccountNumber", COMPANY: "account_number", CONTACT: "Email", CUSTOMER: "email"}
TABLES = {COMPANY: "hub.companies", CUSTOMER: "hub.customers"}


def pipelines(folder: Path, changes: Mapping[str, str]) -> Path:
    """The demo's pipelines, each key replaced by its value; it must be there just once."""
    text = PIPELINES.read_text()
    for before, after in changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path = folder / "pipelines.yaml"
    path.write_text(text)
    return path


def policies(**lines: str) -> dict[str, str]:
    """Further lines of pipelines, by their names with `_` for `-`."""
    heads = {name: f"  {name.replace('_', '-')}:\n" for name in lines}
    return {heads[name]: f"{heads[name]}    {line}\n" for name, line in lines.items()}


def account(n: int, **more: Any) -> Row:
    return {"Id": id18("001", n), "Name": f"Account {n}", "AccountNumber": f"A-{n}", "Tier__c": "gold", **more}


def contact(n: int, account: int, **more: Any) -> Row:
    row = {"Id": id18("003", n), "LastName": f"Contact {n}", "Email": f"c{n}@mail.example", "Segment__c": "retail"}
    return {**row, "AccountId": id18("001", account), **more}


def company(n: int, **more: Any) -> Row:
    return {"id": UUID(int=n), "name": f"Company {n}", "account_number": f"H-{n}", "tier": "gold", **more}


def customer(n: int, company: int, **more: Any) -> Row:
    row = {"id": UUID(int=n), "last_name": f"Customer {n}", "email": f"k{n}@shop.example", "segment": "retail"}
    return {**row, "company_id": UUID(int=company), **more}


@dataclass
class Hands:
    told: Story
    client: Salesforce

    async def load(self, kind: Object, *rows: Row) -> None:
        """Past Salesforce's API, with ids of our own; a row with the Id of a deleted record restores it."""
        async with self.told.http.post(f"{self.told.system.org_url}/simorg/load", json={kind.name: rows}) as reply:
            assert reply.status == 200, await reply.text()

    async def update(self, kind: Object, *rows: Row) -> None:
        assert all(isinstance(each, Saved) for each in await self.client.update(kind.name, rows))

    async def delete(self, *ids: str) -> None:
        assert all(isinstance(each, Saved) for each in await self.client.delete(ids))

    async def insert(self, kind: Object, *rows: Row) -> None:
        """Into the hub; the rows have the same columns."""
        schema, _, table = TABLES[kind].partition(".")
        columns = list(rows[0])
        values = [tuple(row.values()) for row in rows]
        await self.told.hub.copy_records_to_table(table, schema_name=schema, columns=columns, records=values)

    async def remove(self, *rows: tuple[Object, Iterable[Row]]) -> None:
        """From the hub, in one transaction."""
        async with self.told.hub.acquire() as connection, connection.transaction():
            for kind, each in rows:
                statement = f"DELETE FROM {TABLES[kind]} WHERE id = ANY($1::uuid[])"
                await connection.execute(statement, [row["id"] for row in each])

    async def edit(self, kind: Object, id: str, column: str, value: str) -> None:
        """In the hub."""
        await self.told.hub.execute(f"UPDATE {TABLES[kind]} SET {column} = $2 WHERE id = $1::text::uuid", id, value)

    async def find(self, kind: Object, name: str) -> Fields | None:
        """A living record with its `Id`, by what people know it by."""
        rows = (await both.records(self.told.system, self.told.hub, self.told.http))[kind]
        return next(({**row, "Id": id} for id, row in rows.items() if row[NAMED[kind]] == name), None)

    async def id(self, kind: Object, name: str) -> str:
        found = await self.find(kind, name)
        assert found, name
        return str(found["Id"])

    async def sees(self, *wanted: tuple[Object, str, Mapping[str, object] | None]) -> None:
        """Wait until these records hold these values; None: until they are gone."""
        until = time.monotonic() + PATIENCE
        while wrong := [f"{each}: {held}" for each in wanted if not _fits(held := await self.find(*each[:2]), each[2])]:
            assert time.monotonic() < until, "\n".join(wrong)
            await self.told.until(lambda: True, "")  # fails when a service has ended
            await asyncio.sleep(0.1)


def _fits(held: Fields | None, wanted: Mapping[str, object] | None) -> bool:
    if held is None or wanted is None:
        return held is wanted
    return all(held.get(field) == value for field, value in wanted.items())


@asynccontextmanager
async def hands(told: Story) -> AsyncIterator[Hands]:
    described = told.system.config.systems["salesforce"]
    assert isinstance(described, SalesforceSystem)
    async with open_salesforce(described, rng=random.Random(1)) as client:
        yield Hands(told, client)


def stamp(*, days_ago: float) -> dict[str, str]:
    at = datetime.fromtimestamp(time.time() - days_ago * 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return {"CreatedDate": at, "LastModifiedDate": at, "SystemModstamp": at}
