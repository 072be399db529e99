"""Wiring of the mapper: `python -m services.mapper`."""

from __future__ import annotations

from syncline.runtime.early import end_at_once

if __name__ == "__main__":
    end_at_once()  # before the imports below, which take a second

import asyncio
import random
import sys
import time

import structlog

from services.mapper.doors import Doors, serve_doors
from services.mapper.engine import Hop
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import Engine
from services.mapper.join import HELD, SYNCED_TABLE, Join
from services.mapper.metrics import MapperMetrics
from services.mapper.records import RECORDS, Records
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.tables import HOMES
from syncline.contracts.topics import topics
from syncline.runtime.admin import check_topics
from syncline.runtime.consume import IDLE
from syncline.runtime.health import Health, serve
from syncline.runtime.tuning import tune
from syncline.runtime.waiting import patiently, pause, together
from syncline.systems.service import run_service

log = structlog.get_logger()

LOOK = 1.0
"""Seconds between two looks at the engine's progress."""
STUCK = 30.0
"""Seconds without a record of a partition that has some; from then on the health endpoint's patience runs."""


async def main(settings: Settings, config: Config, stop: asyncio.Event) -> None:
    names = settings.names
    expected = topics(names, config.sources, config.targets)
    records, join = Records(config, names), Join(names)
    doors = Doors(config.doors, names, own={topic.name for topic in expected})
    changes = (*map(names.changes, config.sources), names.replay)
    engine = Engine(
        EngineSettings(
            kafka=settings.kafka,
            app_id=names.mapper,
            partitions=settings.partitions,
            state_dir=settings.state_dir,
            homes=HOMES,
            instance=settings.instance,
            session_timeout=settings.session_timeout,
            standby_replicas=settings.standby_replicas,
        ),
        [
            Hop("records", changes, (RECORDS,), records.run),
            Hop("join", (names.mapped, names.results), (SYNCED_TABLE, HELD), join.run, private=(names.mapped,)),
        ],
    )
    tune()
    health = Health()
    health.registry.register(MapperMetrics(engine.progress, records, join, doors))
    rng = random.SystemRandom()
    async with serve(health, settings.metrics_host, settings.metrics_port):
        await patiently(
            lambda: check_topics(settings.kafka, expected, partitions=settings.partitions),
            "Kafka",
            stop=stop,
            rng=rng,
            beat=health.beat,
        )
        watching = asyncio.create_task(watch(engine.progress, health, stop))
        try:
            await together(engine.run(stop), serve_doors(doors, settings, stop, rng))
        finally:
            stop.set()
            await watching


async def watch(progress: Progress, health: Health, stop: asyncio.Event) -> None:
    """Ready once it serves, or could, or has nothing to do. Alive while records are asked for and no partition with
    records stands still."""
    looked: tuple[float, int] | None = None
    while not stop.is_set():
        health.set_ready(progress.ready)
        idle = progress.ready and progress.idle
        if idle and not health.idle:
            log.info("idle", why=IDLE)
        health.set_idle(idle)
        now = (progress.looked_at, progress.rebalances)
        stuck = progress.stuck(time.monotonic(), STUCK)
        if not stuck and now != looked:
            health.beat()
        if not health.live:
            log.warning("no progress", stuck=[f"{topic}-{number}" for topic, number in stuck])
        looked = now
        await pause(LOOK, stop)


if __name__ == "__main__":
    sys.exit(run_service("mapper", main))
