"""Everything again from the start, over two systems that are equal: nothing is written to either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from syncline.contracts.topics import Names, topics
from syncline.local.demo.run import Story, story
from syncline.local.system import SERVICES
from syncline.runtime.admin import create_topics
from tests.e2e.conftest import Whole
from tests.e2e.people import SMALL, small


async def test_a_second_run_over_equal_data_writes_nothing(whole: Whole) -> None:
    async with whole() as told:
        await told.fill(small(3))
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        assert (await told.settled()).equal
        for child in told.system.services.values():
            assert await child.stop() == 0
        before = await traces(told)

        async with from_the_start(told) as again:
            await asyncio.gather(*(again.system.start(service) for service in SERVICES))
            # Every record is an event again, but for the old Accounts that no poll looks back to: those are asked for.
            everything = SMALL.accounts + SMALL.contacts + SMALL.companies + SMALL.customers
            await again.until(lambda: again.running.seen.total("unchanged") >= everything, "all records, unchanged")
            assert (await again.settled()).equal
            seen = again.running.seen
            outcomes = {outcome for _, outcome in seen.outcomes}
            assert outcomes == {"unchanged", "skipped"}
            assert set(seen.skipped) == {"it has no AccountId"}
            assert (seen.held, seen.letters) == (set(), [])
            assert seen.peak > 0
        assert await traces(told) == before


async def traces(told: Story) -> dict[str, Any]:
    """What any write to either side would change, and what a new link or another version of one would."""
    stats = await told.stats()
    hub = [
        await told.hub.fetch(f"SELECT id, xmin::text FROM hub.{table} ORDER BY id")
        for table in ("companies", "customers", "addresses")
    ]
    return {
        "calls": stats["calls"]["write"],
        "rows": stats["rows"],
        "hub": [tuple(row) for rows in hub for row in rows],
        "captured": await told.hub.fetchval("SELECT max(seq) FROM syncline_capture.changes"),
        "links": [
            tuple(row)
            for row in await told.state.fetch("SELECT id, a_id, b_id, revision FROM syncline.links ORDER BY id")
        ],
        "conflicts": await told.state.fetchval("SELECT count(*) FROM syncline.conflicts"),
    }


@asynccontextmanager
async def from_the_start(told: Story) -> AsyncIterator[Story]:
    """The same two systems and the same links, but no cursors, no topics that anybody has read, and an empty mapper."""
    await told.state.execute("DELETE FROM syncline.cursors")
    first = told.system
    names = Names(f"{first.names.prefix}-again")
    folder = first.folder / "again"
    folder.mkdir()
    system = replace(
        first, folder=folder, names=names, environ={**first.environ, "SYNCLINE_PREFIX": names.prefix}, services={}
    )
    wanted = topics(names, system.config.sources, system.config.targets)
    await create_topics(system.stack.kafka_address, wanted, partitions=system.partitions, replication=1)
    try:
        async with story(system) as again:
            yield again
    finally:
        for child in system.services.values():
            await child.stop()
