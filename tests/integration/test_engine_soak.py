"""Workers that are killed, frozen, stopped and started, and a broker that restarts, while events flow.

What comes out must be what an undisturbed run gives: every version of every record, repeats being allowed, and the same
tables. The small versions run with all tests, the long ones with `make soak`.
"""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from syncline.local.kafka import kafka
from syncline.local.machine import run_dir
from syncline.runtime.process import FAILED
from tests.integration.engine_harness import Bench, Worker, bench, changes, expected_joined, expected_tables
from tests.integration.engine_worker import event

PARTITIONS = 4
Events = list[tuple[str, str, int]]


def parts(events: Events, count: int) -> list[Events]:
    size = -(-len(events) // count)
    return [events[start : start + size] for start in range(0, len(events), size)]


async def same_as_undisturbed(run: Bench, events: Events) -> None:
    contents = {record.value for record in await run.read(run.topic("joined"))}
    assert contents == {event(record, account, version) for record, account, version in events}
    assert await run.joined() == expected_joined(events)
    assert await run.tables() == expected_tables(events)


async def revived(run: Bench, alive: list[Worker], **options: Any) -> list[Worker]:
    """With another in the place of each that gave up, as a supervisor would have it."""
    for worker in alive:
        if worker.process.returncode is not None:
            assert worker.process.returncode == FAILED, worker.log.read_text()
    return [each if each.process.returncode is None else await run.start(**options) for each in alive]


async def stopped(alive: list[Worker]) -> None:
    for worker in alive:
        await worker.serving(within=120)
        assert await worker.stop() == 0, worker.log.read_text()


@pytest.mark.parametrize(
    ("count", "kills"), [(30_000, 3), pytest.param(1_000_000, 20, marks=pytest.mark.soak)], ids=["small", "soak"]
)
@pytest.mark.parametrize("standbys", [0, 1])
async def test_killed_at_random(
    kafka_address: str, topic_prefix: str, tmp_path: Path, standbys: int, count: int, kills: int
) -> None:
    rng, events = random.Random(topic_prefix), changes(count)
    options: dict[str, Any] = {"batch_records": count // 100, "standby_replicas": standbys}
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=PARTITIONS) as run:
        alive = [await run.start(**options) for _ in range(2)]
        for part in parts(events, kills):
            await run.publish(part)
            await asyncio.sleep(rng.random() * 3)
            victim = alive.pop(rng.randrange(2))
            await run.kill(victim)
            alive = [*await revived(run, alive, **options), await run.start(**options)]
        await run.drained(within=600)
        await stopped(alive)
        await same_as_undisturbed(run, events)


@pytest.mark.parametrize(
    ("count", "restarts"), [(20_000, 1), pytest.param(1_000_000, 3, marks=pytest.mark.soak)], ids=["small", "soak"]
)
async def test_the_broker_restarts(topic_prefix: str, tmp_path: Path, count: int, restarts: int) -> None:
    rng, events = random.Random(topic_prefix), changes(count)
    options: dict[str, Any] = {"batch_records": count // 100}
    with run_dir(name="engine-broker") as folder:
        async with (
            kafka(folder) as broker,
            bench(broker.address, topic_prefix, tmp_path, partitions=PARTITIONS) as run,
        ):
            alive = [await run.start(**options) for _ in range(2)]
            await alive[0].serving(within=60)
            for part in parts(events, restarts):
                await run.publish(part)
                await asyncio.sleep(rng.random() * 2)
                await broker.process.kill()
                await broker.process.restart()
                alive = await revived(run, alive, **options)
            async with asyncio.timeout(900):
                while True:
                    try:
                        await run.drained(within=15)
                        break
                    except TimeoutError:
                        alive = await revived(run, alive, **options)
            alive = await revived(run, alive, **options)
            await stopped(alive)
            await same_as_undisturbed(run, events)


@pytest.mark.soak
@pytest.mark.parametrize("standbys", [0, 1])
async def test_chaos(kafka_address: str, topic_prefix: str, tmp_path: Path, standbys: int) -> None:
    rng, events = random.Random(topic_prefix), changes(100_000)
    options: dict[str, Any] = {"batch_records": 100, "standby_replicas": standbys}
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=6) as run:
        alive = [await run.start(**options) for _ in range(2)]
        for part in parts(events, 50):
            await run.publish(part)
            await asyncio.sleep(rng.random() * 1.5)
            what = rng.choice(["kill", "kill", "stop", "freeze", "start", "nothing"])
            if what == "start" and len(alive) < 4:
                alive.append(await run.start(**options))
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
            alive.append(await run.start(**options))
        await run.drained(within=120)
        await stopped(alive)
        await same_as_undisturbed(run, events)
