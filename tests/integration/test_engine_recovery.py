"""What a worker does with changelogs that are not as expected, and with batches that it has to leave out.

The engine runs inside the test here, so that a fault can be put where no broker would make it on demand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from rocksdict import Options, Rdict

from services.mapper.engine.faust_seam import Consumer, Owned
from services.mapper.engine.faust_tables import Records
from services.mapper.engine.faust_thread import ConsumerThread
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import Engine
from syncline.contracts.errors import Fatal, Transient
from tests.integration.engine_harness import Bench, bench, changes, expected_joined, expected_tables
from tests.integration.engine_worker import faulty, hops


def engine(run: Bench, **options: Any) -> Engine:
    settings = EngineSettings(
        kafka=run.kafka,
        app_id=run.app_id,
        partitions=run.partitions,
        state_dir=run.directory / "state",
        commit_interval=0.2,
        batch_records=100,
        **options,
    )
    return Engine(settings, hops(run.prefix))


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    """In the end it is stopped gracefully; what it raises comes out."""
    stop = asyncio.Event()
    serving = asyncio.create_task(engine.run(stop))
    try:
        yield
    finally:
        stop.set()
        await serving


async def until(engine: Engine, hop: str, records: int) -> None:
    async with asyncio.timeout(30):
        while engine.progress.records[hop] < records:
            await asyncio.sleep(0.02)


async def ready(engine: Engine) -> None:
    async with asyncio.timeout(30):
        while engine.progress.recovering:
            await asyncio.sleep(0.02)


async def test_a_batch_left_out_comes_again(
    kafka_address: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group may doubt a member without throwing it out; then no rebalance brings the batch back."""
    doubts, sure = 5, Consumer._owner

    def owner(self: Consumer, epoch: int, inputs: Records) -> Owned:
        owned = sure(self, epoch, inputs)

        async def doubted() -> bool:
            nonlocal doubts
            doubts -= 1
            return doubts < 0 and await owned()

        return doubted

    monkeypatch.setattr(Consumer, "_owner", owner)
    events = changes(2_000)
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        await run.publish(events)
        async with running(engine(run)):
            await run.drained()
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)


async def test_progress_tells_what_was_done(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    events = changes(1_000)
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        await run.publish(events)
        first = engine(run)
        async with running(first):
            await until(first, "join", 1_000)
            assert first.progress.records == {"latest": 1_000, "join": 1_000}
            assert first.progress.outputs == {"latest": 1_000, "join": 1_000}
            assert not first.progress.recovering
            assert len(first.progress.assigned) == 2 * run.partitions
            assert first.progress.moved_at.keys() == first.progress.assigned
            async with asyncio.timeout(5):
                while first.progress.lag.keys() != first.progress.assigned or any(first.progress.lag.values()):
                    await asyncio.sleep(0.02)
        again = engine(run)
        async with running(again):
            await ready(again)
            rows = [row for table in ("newest", "accounts", "held") for row in await run.read(run.changelog(table))]
            assert again.progress.restored == len(rows)
            assert again.progress.records == {}


@pytest.mark.parametrize("failing", [False, True], ids=["stopped", "failed"])
async def test_no_database_outlives_the_engine(
    kafka_address: str, topic_prefix: str, tmp_path: Path, failing: bool
) -> None:
    """Stopped in the middle of the flow, or while the traceback of a hop that failed holds a row's iterator."""
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        ends = engine(run)
        if failing:
            ends = Engine(ends._settings, [faulty(hop, {"A0": "raise", "hop": "join"}) for hop in hops(run.prefix)])
        stop = asyncio.Event()
        serving = asyncio.create_task(ends.run(stop))
        await ready(ends)
        await run.publish(changes(3_000))
        if failing:
            with pytest.raises(Fatal, match="hop join"):
                await serving  # which keeps the traceback
        else:
            await until(ends, "join", 300)
            stop.set()
            await serving
        databases = [*(run.directory / "state").rglob("*.db")]
        assert len(databases) == 3 * run.partitions
        for folder in databases:
            Rdict(str(folder), Options(raw_mode=True)).close()  # RocksDB would not open it twice


async def test_a_changelog_may_end_with_a_marker(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """As one does that a transactional tool has copied: its last offset is no record."""
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        copying = AIOKafkaProducer(bootstrap_servers=run.kafka, transactional_id=run.prefix)
        async with copying, copying.transaction():
            await copying.send(run.changelog("newest"), b"7", b"C1", partition=0)
        await run.publish([("C1", "A1", 6), ("A1", "A1", 1)])
        async with running(engine(run)):
            await run.drained()
        assert await run.joined() == {("A1", 1)}  # the other is older than what the changelog held


async def test_a_recovery_without_progress_fails(
    kafka_address: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = ConsumerThread._fetch_records

    async def without_changelogs(self: ConsumerThread, *args: Any, **kwargs: Any) -> Records:
        fetched = await fetch(self, *args, **kwargs)
        return {tp: records for tp, records in fetched.items() if not tp.topic.endswith("-changelog")}

    async def nowhere(self: Consumer, tp: Any) -> int:
        return 0

    monkeypatch.setattr(ConsumerThread, "_fetch_records", without_changelogs)
    monkeypatch.setattr(Consumer, "position", nowhere)
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        async with AIOKafkaProducer(bootstrap_servers=run.kafka) as producer:
            await producer.send_and_wait(run.changelog("newest"), b"7", b"C1", partition=0)
        with pytest.raises(Transient, match=r"recovery is stuck.*newest-changelog-0': 1"):
            async with asyncio.timeout(20):
                await engine(run, recovery_timeout=0.5).run(asyncio.Event())
