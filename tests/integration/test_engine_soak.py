"""Minutes of workers that are killed, frozen, stopped and started while events flow. Runs when SYNCLINE_SOAK is set.

SYNCLINE_SOAK=100000 pytest tests/integration/test_engine_soak.py      # so many events
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from tests.integration.engine_harness import bench, changes, expected_joined, expected_tables

EVENTS = int(os.environ.get("SYNCLINE_SOAK", "0"))


@pytest.mark.skipif(not EVENTS, reason="takes minutes: set SYNCLINE_SOAK to a number of events")
async def test_chaos(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    rng = random.Random(topic_prefix)
    events = changes(EVENTS)
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=6) as run:
        alive = [await run.start(batch_records=100) for _ in range(2)]
        for start in range(0, len(events), 2_000):
            await run.publish(events[start : start + 2_000])
            await asyncio.sleep(rng.random() * 1.5)
            what = rng.choice(["kill", "kill", "stop", "freeze", "start", "nothing"])
            if what == "start" and len(alive) < 4:
                alive.append(await run.start(batch_records=100))
                continue
            worker = rng.choice(alive)
            match what:
                case "kill":
                    await run.kill(worker)
                case "stop":
                    await worker.serving(within=120)
                    assert await worker.stop() == 0, worker.log.read_text()
                case "freeze":  # now and then for longer than its session
                    worker.signal(signal.SIGSTOP)
                    await asyncio.sleep(rng.choice([0.5, 2, 8]))
                    worker.signal(signal.SIGCONT)
                    continue
                case _:
                    continue
            alive.remove(worker)
            alive.append(await run.start(batch_records=100))
        await run.drained(within=120)
        for worker in alive:
            await worker.serving()
            assert await worker.stop() == 0, worker.log.read_text()
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)
