"""Replicas share the objects fairly, one reader an object, and take over from the dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from services.poller import lease
from services.poller.lease import Rota, fair_share
from syncline.contracts.errors import Transient
from syncline.contracts.ref import Object
from syncline.state import database
from syncline.state.cursors import Cursors
from syncline.state.leases import Lease, LeaseLost, Leases, Standing, idle
from tests.conftest import FreshDatabase
from tests.integration.test_leases import migrated

KINDS = [Object("hub", f"object {number}") for number in range(7)]


@pytest.fixture
async def pool(fresh_database: FreshDatabase) -> AsyncIterator[Any]:
    async with AsyncExitStack() as running:
        url = await running.enter_async_context(fresh_database(migrated))
        yield await running.enter_async_context(database.connect(url, application="test"))


class Fleet:
    """Replicas whose rounds are run by hand. reading: who reads what; nobody may read what another reads. idle: who
    says that there is nothing for it."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.reading: dict[Object, str] = {}
        self.idle: set[str] = set()
        self.moved = asyncio.Condition()

    def replica(self, name: str) -> Rota:
        async def read(lease: Lease, stop: asyncio.Event) -> None:
            assert self.reading.get(lease.kind) is None, f"{lease.kind} is read by {self.reading[lease.kind]} too"
            self.reading[lease.kind] = name
            await self.tell()
            await stop.wait()
            if self.reading[lease.kind] == name:
                del self.reading[lease.kind]

        def tell_idle(idle: bool) -> None:
            (self.idle.add if idle else self.idle.discard)(name)

        return Rota(Leases(self.pool, "poller", name, 60), KINDS, read, beat=lambda _: None, idle=tell_idle)

    async def tell(self) -> None:
        async with self.moved:
            self.moved.notify_all()

    async def settle(self, *replicas: Rota) -> dict[str, int]:
        """Rounds until nothing moves any more; how many objects each reads then."""
        before: dict[Object, str] | None = None
        while before != self.reading:
            before = dict(self.reading)
            for _ in range(2):
                for each in replicas:
                    await each.round()
                    while any(work.stop.is_set() for work in each._works.values()):
                        await asyncio.sleep(0)
                    await asyncio.sleep(0)
        return {name: list(self.reading.values()).count(name) for name in sorted(set(self.reading.values()))}

    async def die(self, name: str) -> None:
        """Its time has run out."""
        self.reading = {kind: reader for kind, reader in self.reading.items() if reader != name}
        for table, column in (("leases", "holder"), ("members", "instance")):
            statement = f"UPDATE syncline.{table} SET expires_at = now() - interval '1 s' WHERE {column} = $1"
            await self.pool.execute(statement, name)


@pytest.fixture
async def fleet(pool: Any) -> AsyncIterator[Fleet]:
    fleet = Fleet(pool)
    yield fleet
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("read ")]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("objects", "shares"), [(7, [7]), (7, [4, 3]), (7, [3, 2, 2]), (4, [2, 1, 1]), (2, [1, 1, 0]), (0, [0, 0])]
)
def test_shares_are_even_and_together_all(objects: int, shares: list[int]) -> None:
    assert [fair_share(objects, len(shares), rank) for rank in range(len(shares))] == shares


async def test_every_object_has_one_reader_and_newcomers_get_their_share(fleet: Fleet) -> None:
    a, b, c = (fleet.replica(name) for name in "abc")
    assert await fleet.settle(a) == {"a": 7}
    assert await fleet.settle(a, b) == {"a": 4, "b": 3}
    assert await fleet.settle(a, b, c) == {"a": 3, "b": 2, "c": 2}


async def test_one_replica_more_than_objects_is_idle_until_another_goes(fleet: Fleet) -> None:
    names = "abcdefgh"
    replicas = {name: fleet.replica(name) for name in names}
    assert await fleet.settle(*replicas.values()) == dict.fromkeys("abcdefg", 1)
    assert fleet.idle == {"h"}
    assert await idle(fleet.pool, "poller") == 1
    await fleet.die("c")
    del replicas["c"]
    assert await fleet.settle(*replicas.values()) == dict.fromkeys("abdefgh", 1)
    assert fleet.idle == set()
    assert await idle(fleet.pool, "poller") == 0


async def test_a_page_that_does_not_end_is_dropped_and_its_object_given_back(
    fleet: Fleet, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "FAREWELL", 0.01)
    reading, stop = asyncio.Event(), asyncio.Event()

    async def read(lease: Lease, stop: asyncio.Event) -> None:
        reading.set()
        await asyncio.Event().wait()

    stuck = Rota(Leases(pool, "poller", "a", 60), KINDS[:1], read, beat=lambda _: None)
    running = asyncio.create_task(stuck.run(stop))
    await asyncio.wait_for(reading.wait(), 10)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert await Leases(pool, "poller", "b", 60).take(KINDS[:1], 1)


async def test_a_dead_replicas_objects_go_to_the_living_and_it_can_store_nothing_any_more(
    fleet: Fleet, pool: Any
) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    await fleet.settle(a, b)
    old = next(lease for lease in a._works)
    await fleet.die("a")
    assert await fleet.settle(b) == {"b": 7}
    with pytest.raises(LeaseLost):
        await Cursors(pool).store(old, {"at": 1})
    await a.round()  # it comes back, and finds that it lost everything
    assert all(work.stop.is_set() for lease, work in a._works.items() if lease.fence == old.fence)


async def test_a_replica_that_is_restarted_under_its_name_goes_on_at_once(fleet: Fleet) -> None:
    await fleet.settle(fleet.replica("a"))
    fleet.reading.clear()
    assert await fleet.settle(fleet.replica("a")) == {"a": 7}


async def test_who_ends_gives_everything_back_at_once(fleet: Fleet) -> None:
    a, b = fleet.replica("a"), fleet.replica("b")
    stop = asyncio.Event()
    running = asyncio.create_task(a.run(stop))
    async with asyncio.timeout(10), fleet.moved:
        await fleet.moved.wait_for(lambda: len(fleet.reading) == 7)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert fleet.reading == {}
    assert await fleet.settle(b) == {"b": 7}


async def test_a_state_database_that_is_away_ends_no_reader(fleet: Fleet, pool: Any) -> None:
    tried = asyncio.Event()

    class Away(Leases):
        async def beat(self) -> Standing:
            if not fleet.reading:
                return await super().beat()
            tried.set()
            raise Transient("PostgreSQL cannot be reached")

    a, stop = fleet.replica("a"), asyncio.Event()
    a._leases = Away(pool, "poller", "a", 0.03)
    running = asyncio.create_task(a.run(stop))
    await asyncio.wait_for(tried.wait(), 10)
    assert len(fleet.reading) == 7
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 10)
