"""The brake on mass deletions, on a real PostgreSQL: what goes on by itself, what waits, and what a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.planner.deletions import PlannedDeletions
from services.planner.store import NoRows, Overlay, Scratch
from syncline.contracts.command import Command
from syncline.contracts.ref import Object, Ref
from syncline.state.database import connect, migrate
from syncline.state.deletions import Deletions
from tests.conftest import FreshDatabase

LIMIT = 10
CUSTOMER = Object("hub", "customer")


async def _migrated(url: str) -> None:
    async with connect(url, application="test") as pool:
        await migrate(pool)


@pytest.fixture
async def url(fresh_database: FreshDatabase) -> AsyncIterator[str]:
    async with fresh_database(_migrated) as url:
        yield url


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Any]:
    async with connect(url, application="test") as pool:
        yield pool


@pytest.fixture
def deletions(pool: Any) -> Deletions:
    return Deletions(pool)


def some(start: int, count: int, *, pipeline: str = "contacts", limit: int = LIMIT) -> list[Command]:
    return [
        Command(
            pipeline=pipeline,
            op="delete",
            source=Ref("sf", "Contact", f"003{n}"),
            version="2026-11-21T10:00:00.000Z",
            time="2026-11-21T10:00:00.000Z",
            target=CUSTOMER,
            fields={"segment": "gone", "size": 1.5, "active": False, "title": None},
            seen={"Title": "Dr"},
            inputs={"segment": []},
            match=[{"email": "a@example.com"}],
            conflict={"*": "review"},
            on_delete="delete",
            delete_limit=limit,
        )
        for n in range(start, start + count)
    ]


async def states(pool: Any) -> dict[str, int]:
    rows = await pool.fetch("SELECT state, count(*) FROM syncline.deletions GROUP BY state")
    return dict(map(tuple, rows))


async def test_up_to_the_limit_of_an_hour_deletions_happen_by_themselves(deletions: Deletions, pool: Any) -> None:
    assert await deletions.claim(some(0, LIMIT - 1)) == [True] * (LIMIT - 1)
    assert await deletions.claim(some(LIMIT - 1, 1)) == [True]
    assert await deletions.claim(some(LIMIT, 1)) == [False]
    await pool.execute("UPDATE syncline.deletions SET at = at - interval '61 minutes'")
    assert await deletions.claim(some(LIMIT + 1, LIMIT)) == [True] * LIMIT


async def test_a_batch_that_would_bring_the_hour_over_the_limit_waits_as_a_whole(
    deletions: Deletions, pool: Any
) -> None:
    assert await deletions.claim(some(0, 3)) == [True] * 3
    assert await deletions.claim(some(3, LIMIT - 2)) == [False] * (LIMIT - 2)
    assert await states(pool) == {"done": 3, "waiting": LIMIT - 2}
    [stopped] = await deletions.stopped()
    assert stopped[:3] == ("contacts", "waiting", LIMIT - 2)
    assert stopped.since.tzinfo is not None


async def test_pipelines_are_counted_each_by_its_own_limit(deletions: Deletions) -> None:
    mixed = [*some(0, 2, limit=1), *some(0, 2, pipeline="accounts", limit=2), *some(2, 1, pipeline="leads", limit=0)]
    assert await deletions.claim(mixed) == [False, False, True, True, False]
    assert [each[:3] for each in await deletions.stopped()] == [("contacts", "waiting", 2), ("leads", "waiting", 1)]


async def test_a_repeat_gets_the_same_answer_and_counts_once(deletions: Deletions, pool: Any) -> None:
    done, waiting = some(0, LIMIT), some(LIMIT, 2)
    for _ in range(2):
        assert await deletions.claim(done) == [True] * LIMIT
        assert await deletions.claim(waiting) == [False] * 2
    assert await deletions.claim([waiting[0], done[0], *some(90, 1), done[1]]) == [False, True, False, True]
    assert await states(pool) == {"done": LIMIT, "waiting": 3}
    assert await deletions.claim([]) == []


async def test_the_commands_come_back_as_they_went_in(deletions: Deletions) -> None:
    waiting = some(0, 3, limit=0)
    await deletions.claim(waiting)
    assert sorted(await deletions.approve("contacts"), key=lambda each: each.source) == waiting


async def test_approved_deletions_are_done_when_they_come_again_whatever_the_limit(
    deletions: Deletions, pool: Any
) -> None:
    waiting = some(0, LIMIT + 5)
    await deletions.claim([*waiting, *some(0, 1, pipeline="accounts", limit=0)])
    approved = await deletions.approve("contacts")
    assert len(approved) == LIMIT + 5
    # Who approved may have been cut off before the commands were on their way, and approves once more.
    assert len(await deletions.approve("contacts")) == LIMIT + 5
    assert await deletions.claim(approved) == [True] * (LIMIT + 5)
    assert await states(pool) == {"done": LIMIT + 5, "waiting": 1}
    assert await deletions.approve("contacts") == []
    # They did not happen by themselves: the hour's own are still free.
    assert await deletions.claim(some(50, LIMIT)) == [True] * LIMIT
    assert await deletions.claim(some(80, 1)) == [False]


async def test_refused_deletions_stay_refused(deletions: Deletions, pool: Any) -> None:
    waiting = some(0, 2, limit=0)
    await deletions.claim(waiting)
    assert len(await deletions.refuse("contacts")) == 2
    assert await deletions.claim(waiting) == [False, False]
    assert await deletions.approve("contacts") == []
    assert await states(pool) == {"refused": 2}
    assert await deletions.stopped() == []


async def test_what_is_blocked_stays_so_until_it_is_claimed_again(deletions: Deletions, pool: Any) -> None:
    first = some(0, 2)
    assert await deletions.claim(first) == [True, True]
    await deletions.block(first[:1])
    assert [each[:3] for each in await deletions.stopped()] == [("contacts", "blocked", 1)]
    for _ in range(2):  # whoever asked first may have been killed before they were sent again
        assert await deletions.blocked() == first[:1]
    assert await deletions.claim(first[:1]) == [True]
    assert await deletions.blocked() == []
    assert await states(pool) == {"done": 2}


async def test_a_person_may_also_have_the_blocked_tried_again_or_forget_them(deletions: Deletions, pool: Any) -> None:
    first = some(0, 2)
    await deletions.claim(first)
    await deletions.block(first)
    assert len(await deletions.approve("contacts")) == 2
    assert await deletions.claim(first) == [True, True]
    await deletions.block(first)
    assert len(await deletions.refuse("contacts")) == 2
    assert await deletions.blocked() == []


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_two_writers_at_once_do_not_exceed_the_limit_together(url: str, pool: Any, isolation: str) -> None:
    """The first has counted and not committed when the second begins; whatever the server's own isolation."""
    database = url.rpartition("/")[2].partition("?")[0]
    await pool.execute(f"ALTER DATABASE \"{database}\" SET default_transaction_isolation = '{isolation}'")
    async with connect(url, application="test", size=2) as writers:
        async with writers.acquire() as connection, connection.transaction(isolation="read_committed"):
            assert await Deletions(_Only(connection)).claim(some(0, LIMIT - 1)) == [True] * (LIMIT - 1)
            second = asyncio.create_task(Deletions(writers).claim(some(50, LIMIT - 1)))
            while not await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
            ):
                assert not second.done()
                await asyncio.sleep(0)
        assert await second == [False] * (LIMIT - 1)


class _Only:
    """A pool of one connection, which is in a transaction of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def acquire(self) -> _Only:
        return self

    async def __aenter__(self) -> Any:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_what_would_be_claimed_is_foreseen_and_nothing_is_claimed(
    deletions: Deletions, pool: Any, tmp_path: Path
) -> None:
    """Batch after batch of a plan gets the answers that the same batches get when they really come."""
    assert await deletions.claim(some(0, 4)) == [True] * 4
    await deletions.claim(some(100, LIMIT + 1))
    await deletions.approve("contacts")
    await deletions.claim(some(200, LIMIT + 1))
    await deletions.refuse("contacts")
    await deletions.claim(some(300, 2))
    await deletions.block(some(300, 1))
    before = await states(pool)
    scratch = Scratch(tmp_path / "scratch")
    planned = PlannedDeletions(deletions, Overlay(NoRows(), scratch, "plan"))
    batches = [
        some(0, 5),
        [*some(300, 2), *some(400, 2)],
        some(0, 3, pipeline="others", limit=2),
        [*some(500, LIMIT), *some(0, 1)],
        some(400, 3),
    ]
    answers = [await planned.claim(batch) for batch in batches]
    assert await planned.blocked() == []
    scratch.close()
    assert await states(pool) == before
    assert answers == [await deletions.claim(batch) for batch in batches]
    assert {True, False} == {each for answer in answers for each in answer}
