"""Kafka and PostgreSQL together: those that are given, else local ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from syncline.local.kafka import KAFKA_VERSION, Broker, kafka
from syncline.local.machine import Say, quiet
from syncline.local.postgres import POSTGRES_VERSION, Server, postgres
from syncline.runtime.postgres import place

KAFKA_VARIABLE = "SYNCLINE_KAFKA"
DATABASE_VARIABLE = "SYNCLINE_DATABASE_URL"


@dataclass(frozen=True)
class Stack:
    """`broker` and `server` are None where one from outside is used."""

    kafka_address: str
    database_url: str = field(repr=False)  # holds the password
    broker: Broker | None
    server: Server | None


@asynccontextmanager
async def stack(
    data_dir: Path, *, kafka_address: str | None = None, database_url: str | None = None, say: Say = quiet
) -> AsyncIterator[Stack]:
    """Use the Kafka and the PostgreSQL that are given here or by $SYNCLINE_KAFKA and $SYNCLINE_DATABASE_URL.

    What is not given is started below `data_dir`, both at once, and ends with the block. Raises Fatal when one cannot
    start; the other is ended then.
    """
    kafka_address = kafka_address or os.environ.get(KAFKA_VARIABLE)
    database_url = database_url or os.environ.get(DATABASE_VARIABLE)
    async with AsyncExitStack() as running:
        try:
            async with asyncio.TaskGroup() as starting:
                on_kafka = starting.create_task(running.enter_async_context(_kafka(kafka_address, data_dir, say)))
                on_database = starting.create_task(running.enter_async_context(_database(database_url, data_dir, say)))
        except ExceptionGroup as group:
            first = group.exceptions[0]
            raise first from first.__cause__
        (address, broker), (url, server) = on_kafka.result(), on_database.result()
        yield Stack(address, url, broker, server)


@asynccontextmanager
async def _kafka(given: str | None, data_dir: Path, say: Say) -> AsyncIterator[tuple[str, Broker | None]]:
    if given:
        say(f"Kafka: {given}, as given")
        yield given, None
        return
    async with kafka(data_dir / "kafka", say=say) as broker:
        say(f"Kafka: {broker.address}, local, {KAFKA_VERSION}")
        yield broker.address, broker


@asynccontextmanager
async def _database(given: str | None, data_dir: Path, say: Say) -> AsyncIterator[tuple[str, Server | None]]:
    if given:
        say(f"PostgreSQL: {place(given)}, as given")
        yield given, None
        return
    async with postgres(data_dir / "postgres", say=say) as server:
        say(f"PostgreSQL: {place(server.url())}, local, {POSTGRES_VERSION}")
        yield server.url(), server
