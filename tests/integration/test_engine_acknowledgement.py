"""What a batch could not do is not acknowledged, and the process says so by its exit code."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from syncline.runtime.kafka import Message, publisher
from syncline.runtime.process import FAILED, FATAL
from tests.integration.engine_harness import bench, changes, expected_joined
from tests.integration.engine_worker import event


async def test_a_hop_that_raises_stops_the_worker(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    events = [("A1", "A1", 1), ("A1", "A1", 2)]
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        await run.publish(events)
        first = await run.start()
        await first.serving()
        await run.drained()
        assert await first.stop() == 0
        before = await run.tables()

        await run.publish([("A2", "A2", 1)])
        worker = await run.start(poison={"A2": "raise"})
        assert await worker.ended() == FATAL
        assert "hop latest" in (log := worker.log.read_text())
        assert f"{run.topic('events')}-0, offsets 2 to 2" in log
        assert "a bug" in log
        assert await run.lag() == 1
        assert await run.tables() == before
        assert await run.joined() == expected_joined(events)


async def test_a_failed_delivery_stops_the_worker(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """The broker refuses an output; the batch's other outputs may be there, its tables and its offset may not."""
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        await run.publish([("A1", "A1", 1)])
        worker = await run.start(poison={"A1": "huge", "hop": "join"})
        assert await worker.ended() == FAILED
        assert f"not delivered to {run.topic('joined')}-0" in worker.log.read_text()
        assert await run.read(run.changelog("newest")) == []
        assert await run.committed("events") == 0

        healed = await run.start()
        await healed.serving()
        await run.drained()
        assert await healed.stop() == 0
        assert await run.joined() == {("A1", 1)}


async def test_nothing_is_committed_before_it_is_delivered(
    kafka_address: str, topic_prefix: str, tmp_path: Path
) -> None:
    """At every moment: what is committed has its outputs. Read in this order, a commit cannot run ahead unseen."""
    events = changes(6_000)
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        await run.publish(events)
        worker = await run.start(batch_records=50, commit_interval=0.01)
        committed = 0
        while committed < len(events):
            committed = await run.committed("events")
            assert committed <= await run.end("joined", "app-held-changelog")  # each is let out or held
            await asyncio.sleep(0.02)
        assert await worker.stop() == 0


async def test_records_larger_than_a_fetch_get_through(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """Of a partition one fetch asks for a megabyte, of a record there may be more; its neighbours come too."""
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=1) as run:
        async with publisher(run.kafka, "test") as publish:
            await publish.publish(
                [
                    Message(run.topic("events"), record.encode(), event(record, "A1", 1) + b" " * spaces)
                    for record, spaces in (("A1", 0), ("C1", 0), ("C2", 3_000_000), ("C3", 0))
                ]
            )
        worker = await run.start()
        await worker.serving()
        await run.drained()
        assert await worker.stop() == 0
        assert await run.joined() == {("A1", 1), ("C1", 1), ("C2", 1), ("C3", 1)}


async def test_a_state_directory_has_one_owner(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    async with bench(kafka_address, topic_prefix, tmp_path) as run:
        first = await run.start(state_dir=os.fspath(tmp_path / "shared"))
        await first.serving()
        second = await run.start(state_dir=os.fspath(tmp_path / "shared"))
        assert await second.ended() == FATAL
        assert "shared is in use" in second.log.read_text()
        assert await first.stop() == 0


async def test_wrong_topics_are_refused_by_name(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=2) as run:
        worker = await run.start(partitions=3)
        assert await worker.ended() == FATAL
        assert f"{run.changelog('held')} has 2 partitions" in worker.log.read_text()
        await run.delete(run.changelog("held"))
        worker = await run.start()
        assert await worker.ended() == FATAL
        assert f"{run.changelog('held')} is missing" in worker.log.read_text()
