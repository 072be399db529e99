"""Workers that read different topics share a group for a while, as in a rollout that adds or removes a source."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.engine_harness import Worker, bench, changes, expected_joined, expected_tables


async def waits(*workers: Worker) -> None:
    """Wait until one of them has said that it leaves a topic unread."""
    async with asyncio.timeout(30):
        while not any(b"not read until all mappers" in each.log.read_bytes() for each in workers):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], ["more"], id="added"),
        pytest.param(["more"], [], id="removed", marks=pytest.mark.soak),
    ],
)
async def test_a_topic_that_is_read_by_some_waits_and_none_ends(
    kafka_address: str, topic_prefix: str, tmp_path: Path, before: list[str], after: list[str]
) -> None:
    """One worker after the other is replaced. What only some read is handled by who has its tables, or waits."""
    events = changes(3_000)
    records = {record: n % 2 for n, record in enumerate({record for record, _, _ in events})}
    async with bench(kafka_address, topic_prefix, tmp_path, partitions=4) as run:
        old = [await run.start(more=before) for _ in range(2)]
        await asyncio.gather(*(each.serving() for each in old))
        await run.publish([each for each in events if records[each[0]]])
        await run.publish([each for each in events if not records[each[0]]], "more")
        new = []
        for each in old:
            assert await each.stop() == 0
            new.append(await run.start(more=after))
            await new[-1].serving()
            await waits(old[1], new[0])  # while they are beside each other
        if after:
            await run.drained()
            assert await run.joined() == expected_joined(events)
            assert await run.tables() == expected_tables(events)
        assert [await each.stop() for each in new] == [0, 0]
