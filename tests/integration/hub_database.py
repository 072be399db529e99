"""A fresh database with the shipped hub under capture, as the example configuration describes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from syncline.config.model import Embed, HubObject
from syncline.hub import capture
from syncline.state import database
from tests.conftest import FreshDatabase

ADDRESS = ["street", "city", "country"]


def primary(owner: str, kind: str) -> Embed:
    return Embed(table="hub.addresses", owner=owner, where={"kind": kind, "is_primary": True}, columns=ADDRESS)


OBJECTS = {
    "company": HubObject(
        table="hub.companies",
        counterpart={"salesforce": "salesforce_id"},
        embed={"billing": primary("company_id", "billing"), "shipping": primary("company_id", "shipping")},
    ),
    "customer": HubObject(
        table="hub.customers",
        counterpart={"salesforce": "salesforce_id"},
        embed={"address": primary("customer_id", "shipping")},
    ),
}


async def prepare_hub(url: str) -> None:
    async with database.connect(url, application="syncline-migrate") as pool:
        await database.migrate(pool)
        await capture.create_hub(pool)
        await capture.install(pool, OBJECTS)


@asynccontextmanager
async def hub(fresh_database: FreshDatabase) -> AsyncIterator[tuple[str, Any]]:
    """Its URL and a pool. It holds the state schema too."""
    async with fresh_database(prepare_hub) as url, database.connect(url, application="crm", size=6) as pool:
        yield url, pool
