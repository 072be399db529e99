"""A desk of a person on call: the command line over a real broker and state schema, without any service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from syncline.cli.main import cli
from syncline.config.settings import Settings
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.topics import topics
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher
from syncline.runtime.scan import Record, reader, scan
from syncline.state.database import connect, migrate
from tests.conftest import FreshDatabase
from tests.unit.timeline import world

PARTITIONS = 3
CONFIG = world.config()


@dataclass
class OnCall:
    """pool: of the state schema."""

    settings: Settings
    environ: dict[str, str]
    pool: Any

    async def say(self, *words: str, input: str | None = None, **environ: str) -> Result:
        done = await asyncio.to_thread(CliRunner().invoke, cli, words, input=input, env={**self.environ, **environ})
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return done

    async def told(self, *words: str) -> Any:
        done = await self.say(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    async def publish(self, *messages: tuple[str, str, bytes]) -> None:
        async with publisher(self.settings.kafka, "test") as out:
            await out.publish(Message(topic, key.encode(), value) for topic, key, value in messages)

    async def put(self, topic: str, value: bytes | None, **options: Any) -> str:
        """One message, anyhow; returns where it lies."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.servers)
        await producer.start()
        try:
            at = await producer.send_and_wait(topic, value, **options)
        finally:
            await producer.stop()
        return f"{at.topic}/{at.partition}/{at.offset}"

    async def refuse(self, *letters: DeadLetter) -> None:
        await self.publish(*((self.settings.names.dead_letters, each.key.decode(), each.encode()) for each in letters))

    async def on(self, topic: str) -> list[Record]:
        async with reader(self.settings.kafka) as consumer:
            everything = {topic: range(PARTITIONS)}
            return await scan(consumer, everything, lambda _: True, since=None, progress=lambda *_: None)


async def migrated(url: str) -> None:
    async with connect(url, application="test") as pool:
        await migrate(pool)


@asynccontextmanager
async def on_call(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, folder: Path, *, pipelines: str
) -> AsyncIterator[OnCall]:
    (folder / "pipelines.yaml").write_text(pipelines)
    async with fresh_database(migrated) as url, connect(url, application="test", size=1) as pool:
        environ = {
            "SYNCLINE_KAFKA": kafka_address,
            "SYNCLINE_DATABASE_URL": url,
            "SYNCLINE_PREFIX": topic_prefix.rstrip("."),
            "SYNCLINE_PARTITIONS": str(PARTITIONS),
            "SYNCLINE_PIPELINES": str(folder / "pipelines.yaml"),
            "COLUMNS": "240",
        }
        settings = Settings.read(environ)
        wanted = topics(settings.names, CONFIG.sources, CONFIG.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        yield OnCall(settings, environ, pool)
