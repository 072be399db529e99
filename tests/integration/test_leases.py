"""Replicas share objects by leases, and one that comes back from the dead can no longer store a position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from syncline.contracts.ref import Object
from syncline.state import database
from syncline.state.cursors import Cursors
from syncline.state.leases import Lease, LeaseLost, Leases
from tests.conftest import FreshDatabase

KINDS = [Object("hub", name) for name in ("address", "company", "customer", "order")]
LONG = 60.0
EXPIRED = -1.0
"""Seconds of a lease that has run out as soon as it is taken."""


async def migrated(url: str) -> None:
    async with database.connect(url, application="test") as pool:
        await database.migrate(pool)


@pytest.fixture
async def pool(fresh_database: FreshDatabase) -> AsyncIterator[Any]:
    async with AsyncExitStack() as running:
        url = await running.enter_async_context(fresh_database(migrated))
        yield await running.enter_async_context(database.connect(url, application="test"))


def replica(pool: Any, name: str, seconds: float = LONG) -> Leases:
    return Leases(pool, "poller", name, seconds)


async def test_each_replica_that_beats_counts_until_its_time_runs_out_or_it_leaves(pool: Any) -> None:
    a, b, dead = replica(pool, "a"), replica(pool, "b"), replica(pool, "dead", EXPIRED)
    assert await a.beat() == (1, 0)
    await dead.beat()
    assert await b.beat() == (2, 1)
    assert await a.beat() == (2, 0)
    await b.leave()
    assert await a.beat() == (1, 0)
    assert await Leases(pool, "other service", "x", LONG).beat() == (1, 0)


async def test_a_lease_has_one_holder_and_no_more_are_taken_than_asked_for(pool: Any) -> None:
    a, b = replica(pool, "a"), replica(pool, "b")
    first, second = await a.take(KINDS, 2), await b.take(KINDS, 9)
    assert len(first) == 2
    assert first | second == {Lease(kind, 1) for kind in KINDS}
    assert not await a.take(KINDS, 9)
    assert await a.renew() == first
    assert await b.renew() == second


async def test_replicas_that_take_at_once_never_hold_the_same(pool: Any) -> None:
    replicas = [replica(pool, name) for name in "abcd"]
    for _ in range(10):
        taken = await asyncio.gather(*(each.take(KINDS, 2) for each in replicas))
        held = [lease.kind for leases in taken for lease in leases]
        assert len(held) == len(set(held))
        for each, leases in zip(replicas, taken, strict=True):
            for lease in leases:
                await each.release(lease)


async def test_a_released_or_expired_lease_goes_to_the_next_with_a_higher_fence(pool: Any) -> None:
    a, b, dead = replica(pool, "a"), replica(pool, "b"), replica(pool, "dead", EXPIRED)
    (lease,) = await a.take(KINDS[:1], 1)
    await a.release(lease)
    assert not await a.renew()
    assert await dead.take(KINDS[:1], 1) == {Lease(KINDS[0], 2)}
    assert await b.take(KINDS[:1], 1) == {Lease(KINDS[0], 3)}
    await dead.release(Lease(KINDS[0], 2))
    assert await b.renew() == {Lease(KINDS[0], 3)}


async def test_a_position_is_stored_and_read_back(pool: Any) -> None:
    cursors = Cursors(pool)
    (lease,) = await replica(pool, "a").take(KINDS[:1], 1)
    assert await cursors.load(lease.kind) is None
    for position in ({"xid": "7", "seq": 1}, {"xid": "9", "seq": 2}):
        await cursors.store(lease, position)
        assert await cursors.load(lease.kind) == position


async def test_a_replica_that_lost_its_lease_cannot_store_even_before_the_new_holder_has(pool: Any) -> None:
    cursors = Cursors(pool)
    (old,) = await replica(pool, "dead", EXPIRED).take(KINDS[:1], 1)
    await cursors.store(old, {"seq": 1})  # expired, but nobody else has it yet
    (new,) = await replica(pool, "b").take(KINDS[:1], 1)
    with pytest.raises(LeaseLost):
        await cursors.store(old, {"seq": 99})
    await cursors.store(new, {"seq": 2})
    with pytest.raises(LeaseLost):
        await cursors.store(old, {"seq": 99})
    assert await cursors.load(new.kind) == {"seq": 2}
