"""Partitions that move between workers take nothing with them and leave nothing behind."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.integration.engine_harness import bench, changes, expected_joined, expected_tables


async def test_a_worker_that_joins_and_leaves_during_flow(
    kafka_address: str, topic_prefix: str, tmp_path: Path
) -> None:
    events = changes(20_000)
    parts = iter([events[start : start + 2_000] for start in range(0, len(events), 2_000)])
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=4) as run:
        await run.publish(next(parts))
        stays = await run.start(batch_records=100)
        await stays.serving()
        for _ in range(3):
            await run.publish(next(parts))
            # Nobody is `serving` in time when the one before has not left: its session would have to end first.
            comes = await run.start(batch_records=100, session_timeout=60.0)
            await run.publish(next(parts))
            await comes.serving()
            await run.publish(next(parts))
            assert await comes.stop() == 0
        await run.drained()
        assert await stays.stop() == 0
        assert not list(parts)
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)


async def test_all_workers_stopped_at_once(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """Each leaves while the other's leaving moves partitions to it."""
    events = changes(6_000)
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=4) as run:
        for start in (0, 3_000):
            await run.publish(events[start : start + 3_000])
            workers = [await run.start(batch_records=100) for _ in range(2)]
            await asyncio.gather(*(worker.serving() for worker in workers))
            assert set(await asyncio.gather(*(worker.stop() for worker in workers))) == {0}
        last = await run.start()
        await last.serving()
        await run.drained()
        assert await last.stop() == 0
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)


async def test_stopping_does_not_wait_for_the_group(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """The one that stops waits for its first partitions, and the group for one that froze: a minute long. Nor does
    the group wait for the one that has gone."""
    events = changes(300)
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        frozen = await run.start(session_timeout=60.0)
        await frozen.serving()
        frozen.signal(signal.SIGSTOP)
        await frozen.stopped()
        stops = await run.start(session_timeout=60.0)
        await run.dividing(members=2)
        assert await stops.stop() == 0
        assert "did not stop in time" not in stops.log.read_text()

        frozen.signal(signal.SIGCONT)
        await run.publish(events)
        await run.drained(within=30.0)
        assert await run.joined() == expected_joined(events)
        assert await frozen.stop() == 0


async def test_a_frozen_worker_does_not_write_when_it_wakes(
    kafka_address: str, topic_prefix: str, tmp_path: Path
) -> None:
    """Its session runs out in the middle of a batch; by then the batch and a newer version were another's."""
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        await run.publish([("A1", "A1", 1)])
        frozen = await run.start(poison={"A1": "freeze"})
        await frozen.stopped()
        other = await run.start()
        await other.serving()  # once the group has missed the frozen one for six seconds
        await run.publish([("A1", "A1", 2)])
        await run.drained()
        written = await run.read(run.changelog("newest"))

        frozen.signal(signal.SIGCONT)
        await frozen.serving(times=2)  # having joined again
        assert [record.value for record in written] == [b"1", b"2"]
        assert await run.read(run.changelog("newest")) == written
        assert await run.tables() == expected_tables([("A1", "A1", 2)])
        assert [await frozen.stop(), await other.stop()] == [0, 0]
