"""Wiring of the writer: `python -m services.writer`."""

from __future__ import annotations

from syncline.runtime.early import end_at_once

if __name__ == "__main__":
    end_at_once()  # before the imports below, which take a second

import asyncio
import random
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial

from services.writer.loop import Writer
from services.writer.metrics import Outcomes
from services.writer.opening import open_sink
from services.writer.watch import Watch
from syncline.config.checks import check, refuse
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.topics import Topic
from syncline.runtime.admin import check_topics
from syncline.runtime.consume import Record, consume
from syncline.runtime.health import Health, serve
from syncline.runtime.kafka import publisher
from syncline.runtime.tuning import tune
from syncline.runtime.waiting import patiently
from syncline.state.conflicts import Conflicts
from syncline.state.database import check_migrated, connect
from syncline.state.deletions import Deletions
from syncline.state.links import Links
from syncline.systems.catalogs import described
from syncline.systems.service import run_service


async def main(settings: Settings, config: Config, stop: asyncio.Event) -> None:
    rng = random.SystemRandom()
    health = Health()
    waiting = partial(patiently, stop=stop, rng=rng, beat=health.beat)
    names = settings.names
    topics = [Topic(names.commands(system)) for system in config.targets]
    published = [Topic(names.results), Topic(names.dead_letters)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(health, settings.metrics_host, settings.metrics_port))

        async def start() -> tuple[Links, Conflicts, Deletions]:
            await check_topics(settings.kafka, [*topics, *published], partitions=settings.partitions)
            url = settings.database_url
            pool = await stack.enter_async_context(connect(url, application="syncline-writer"))
            await check_migrated(pool)
            return Links(pool), Conflicts(pool), Deletions(pool)

        links, conflicts, deletions = await waiting(start, "Kafka and PostgreSQL")
        begun = await waiting(lambda: described(config, rng=rng), "the systems")
        catalogs, rights = {k: each.catalog for k, each in begun.items()}, {k: each.rights for k, each in begun.items()}
        refuse(check(config, catalogs, rights))
        sinks = {
            system: await waiting(partial(open_sink, config, system, stack, rng), system) for system in config.targets
        }
        publishing = await waiting(
            lambda: stack.enter_async_context(publisher(settings.kafka, settings.instance, settings.partitions)),
            "Kafka",
        )
        watch = Watch(
            config,
            begun,
            ask=lambda system: described(config, rng=rng, only=[system]),
            refresh=lambda system: sinks[system].refresh(),
        )
        writer = Writer(
            sinks=sinks,
            links=links,
            conflicts=conflicts,
            deletions=deletions,
            publisher=publishing,
            names=names,
            reject_limit=settings.reject_limit,
            now=lambda: datetime.now(UTC),
            doubts=watch.doubts,
        )
        health.registry.register(Outcomes(writer, sinks, watch.paused))
        systems = {names.commands(system): system for system in config.targets}
        tune()

        async def handle(records: Sequence[Record]) -> None:
            await watch.guard(systems[records[0].topic], writer.handle, records)
            health.beat()

        await consume(
            [topic.name for topic in topics],
            handle,
            address=settings.kafka,
            group=names.writer,
            client_id=settings.instance,
            stop=stop,
            linger=settings.writer_linger,
            most=settings.writer_batch,
            session_timeout=settings.session_timeout,
            rng=rng,
            ready=health.set_ready,
            idle=health.set_idle,
            beat=health.beat,
        )


if __name__ == "__main__":
    sys.exit(run_service("writer", main))
