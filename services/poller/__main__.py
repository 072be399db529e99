"""Wiring of the poller: `python -m services.poller`."""

from __future__ import annotations

from syncline.runtime.early import end_at_once

if __name__ == "__main__":
    end_at_once()  # before the imports below, which take a second

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from services.poller.lease import Rota
from services.poller.loop import Loop
from services.poller.metrics import Metrics
from services.poller.opening import Opening
from services.poller.requests import Requests
from services.poller.resync import Resyncing
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.topics import Topic
from syncline.replay.window import WINDOW, Window, lag
from syncline.runtime.admin import check_topics
from syncline.runtime.consume import consume
from syncline.runtime.health import Health, serve
from syncline.runtime.kafka import Publisher, publisher
from syncline.runtime.waiting import patiently, together
from syncline.state.cursors import Cursors
from syncline.state.database import check_migrated, connect
from syncline.state.leases import Leases
from syncline.state.resyncs import Resyncs
from syncline.systems.service import run_service

REQUESTS_IN_A_PASS = 2_000
REQUESTS_LINGER = 0.2
"""Seconds to collect requests: records of one object are read in one call."""
RESYNC_LOOK = 1.0
"""Seconds between two looks at how much is under way while a resync waits for room; each opens a connection."""


async def main(settings: Settings, config: Config, stop: asyncio.Event) -> None:
    rng = random.SystemRandom()
    health, names = Health(), settings.names
    metrics = Metrics(health.registry)
    topics = [names.requests, names.dead_letters, names.replay, *map(names.changes, config.polled)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(health, settings.metrics_host, settings.metrics_port))

        async def open_state() -> Any:
            url = settings.database_url
            return await stack.enter_async_context(connect(url, application="syncline-poller"))

        async def open_kafka() -> Publisher:
            await check_topics(settings.kafka, list(map(Topic, topics)), partitions=settings.partitions)
            return await stack.enter_async_context(publisher(settings.kafka, settings.instance, settings.partitions))

        state = await patiently(open_state, "PostgreSQL", stop=stop, rng=rng, beat=health.beat)
        await patiently(lambda: check_migrated(state), "PostgreSQL", stop=stop, rng=rng, beat=health.beat)
        publishing = await patiently(open_kafka, "Kafka", stop=stop, rng=rng, beat=health.beat)
        opening = Opening(config, stack, metrics, stop, rng)
        for system in sorted({kind.system for kind in config.polled}):
            await opening.open(system)
        sources = opening.sources
        window = Window(lambda: lag(settings, config), WINDOW, every=RESYNC_LOOK)
        loop = Loop(
            sources,
            Cursors(state),
            publishing,
            names,
            metrics,
            resyncing=Resyncing(Resyncs(state), publishing, names, window),
            now=lambda: datetime.now(UTC),
            rng=rng,
        )
        leases = Leases(state, "poller", settings.instance, settings.session_timeout)

        def beat(held: int) -> None:
            metrics.leases.set(held)
            health.beat()

        await together(
            Rota(leases, list(sources), loop.read, beat=beat, idle=health.set_idle).run(stop),
            consume(
                [names.requests],
                Requests(sources, publishing, names, metrics, streams=set(config.sources) - set(config.polled)).handle,
                address=settings.kafka,
                group=names.poller,
                client_id=settings.instance,
                stop=stop,
                linger=REQUESTS_LINGER,
                most=REQUESTS_IN_A_PASS,
                session_timeout=settings.session_timeout,
                rng=rng,
                ready=health.set_ready,
            ),
            *(work() for work in opening.beside),
        )


if __name__ == "__main__":
    sys.exit(run_service("poller", main))
