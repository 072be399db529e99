"""A worker that follows another's partitions takes them over without reading their changelogs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syncline.runtime.kafka import Message, publisher
from tests.integration.engine_harness import Bench, bench, changes, expected_joined, expected_tables

ENTRIES = 100_000
BOTH = r"serving +following=\[\d.* partitions=\['"
"""Said by a worker that follows some partitions and serves others."""


async def fill(run: Bench) -> dict[bytes, bytes]:
    """The changelog of `newest` as though so many records had been seen, of which no more is heard."""
    rows = {b"X%d" % number: b"1" for number in range(ENTRIES)}
    async with publisher(run.kafka, "test") as publish:
        await publish.publish([Message(run.changelog("newest"), *row) for row in rows.items()])
    return rows


async def test_take_over_with_and_without_a_standby(
    kafka_address: str, topic_prefix: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed under way. Without a standby the other reads all; with one, what came last."""
    events = changes(4_000)
    seconds = []
    for standbys in (0, 1):
        async with bench(kafka_address, f"{topic_prefix}{standbys}.", tmp_path / str(standbys), partitions=1) as run:
            rows = await fill(run)
            options: dict[str, Any] = {"standby_replicas": standbys, "batch_records": 100}
            victim = await run.start(**options)
            await victim.serving()
            heir = await run.start(**options)
            await heir.said("caught up" if standbys else "serving")
            await run.publish(events[:2_000])
            while not await run.end("joined"):
                await asyncio.sleep(0.01)
            victim.signal(signal.SIGSTOP)
            await run.publish(events[2_000:])
            await run.kill(victim)
            await heir.serving(len(heir.takeovers()) + 1)
            await run.drained()
            records, took = heir.takeovers()[-1]
            if standbys:
                assert records < 4_000, "only what came last"
            else:
                assert records >= ENTRIES, "all of it"
            seconds.append(took)
            assert await heir.stop() == 0
            assert await run.joined() == expected_joined(events)
            expected = expected_tables(events)
            assert await run.tables() == {**expected, "newest": {**expected["newest"], **rows}}
    record_property(
        f"taking over {ENTRIES:,} changelog records without a standby, and with one",
        f"{seconds[0]:.2f} s and {seconds[1]:.2f} s, {seconds[0] / seconds[1]:.1f} to 1",
    )
    assert seconds[1] < seconds[0]


async def test_who_returns_serves_only_what_it_holds(kafka_address: str, topic_prefix: str, tmp_path: Path) -> None:
    """Partitions go to and fro between two workers, each time to one that has their tables; none is left out."""
    events = changes(9_000)
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=3) as run:
        await run.publish(events[:3_000])
        options: dict[str, Any] = {"standby_replicas": 1, "standby_lag": 0, "batch_records": 100}
        stays = await run.start(**options)
        await stays.serving()
        leaves = await run.start(**options)
        for worker in (stays, leaves):
            await worker.said(BOTH)
        await run.drained()
        await run.publish(events[3_000:6_000])
        assert await leaves.stop() == 0
        await run.drained()
        returned = await run.start(**options)
        await returned.said(BOTH)
        await run.publish(events[6_000:])
        await run.drained()
        assert sum(records for records, _ in returned.takeovers()) == 0, returned.takeovers()
        times = len(returned.takeovers())
        assert await stays.stop() == 0
        await returned.serving(times + 1)
        assert await returned.stop() == 0
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)
