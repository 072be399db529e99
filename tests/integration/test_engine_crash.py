"""Killed at any moment and started again, a worker loses nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.integration.engine_harness import bench, changes, expected_joined, expected_tables


async def test_every_version_gets_through_ten_kills(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    rng = random.Random(topic_prefix)
    events = changes(20_000)
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        for start in range(0, len(events), 2_000):
            await run.publish(events[start : start + 2_000])
            worker = await run.start(batch_records=200)
            if rng.random() < 0.8:  # else it dies in the middle of joining or restoring
                await worker.serving()
            await asyncio.sleep(rng.random() * 0.6)
            await run.kill(worker)
        worker = await run.start()
        await worker.serving()
        await run.drained()
        assert await worker.stop() == 0
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)


async def test_waiting_events_are_not_lost_to_recovery(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """Stock Faust drops some of what it fetched while it restored its tables, at more than every second start."""
    events = changes(24_000)
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        for start in range(0, len(events), 4_000):
            await run.publish(events[start : start + 4_000])
            worker = await run.start()
            await run.drained()
            await run.kill(worker)
            assert await run.joined() == expected_joined(events[: start + 4_000])
        worker = await run.start()
        await worker.serving()
        assert await worker.stop() == 0
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)
