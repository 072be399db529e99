"""Reading a hub's object again: the table, then from the log what is in it no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.poller.sources import Page, Position
from syncline.contracts.change import Change
from tests.conftest import FreshDatabase
from tests.integration.hub_database import hub
from tests.integration.test_poller_hub import add, rename, source


@pytest.fixture
async def pool(fresh_database: FreshDatabase) -> AsyncIterator[Any]:
    async with hub(fresh_database) as (_, pool):
        yield pool


async def again(
    pool: Any, position: Position | None = None, since: datetime | None = None, pages: int = 99, most: int = 2
) -> list[Page]:
    found, stream = [], source(pool, most).again(position, since)
    async for page in stream:
        found.append(page)
        if len(found) == pages:
            break
    await stream.aclose()
    return found


def changes(pages: list[Page]) -> list[Change]:
    return [change for page in pages for change in page.changes]


async def test_everything_that_is_there_and_everything_that_was_deleted(pool: Any) -> None:
    keys = [await add(pool, f"{number}") for number in range(7)]
    await pool.execute("DELETE FROM hub.companies WHERE name IN ('2', '5')")
    read = changes(await again(pool))
    assert sorted(change.ref.id for change in read) == sorted(keys)
    assert {change.ref.id for change in read if change.op == "delete"} == {keys[2], keys[5]}
    assert {change.op for change in read} == {"snapshot", "delete"}
    live = {change.ref.id: change.version async for page in source(pool).pages(None) for change in page.changes}
    assert live == {change.ref.id: change.version for change in read if change.op == "snapshot"}


@pytest.mark.parametrize("pages", range(1, 6))
async def test_it_goes_on_behind_any_page(pool: Any, pages: int) -> None:
    for number in range(5):
        await add(pool, f"{number}")
    await pool.execute("DELETE FROM hub.companies WHERE name = '2'")
    whole = changes(await again(pool))
    first = await again(pool, pages=pages)
    rest = await again(pool, first[-1].position)
    assert [*changes(first), *changes(rest)] == whole


async def test_only_what_changed_since_then_deletions_among_it(pool: Any) -> None:
    _, changed, deleted = [await add(pool, name) for name in ("old", "changed", "deleted")]
    since = await pool.fetchval("SELECT clock_timestamp()")
    await rename(pool, changed, "anew")
    await pool.execute("DELETE FROM hub.companies WHERE name = 'deleted'")
    read = changes(await again(pool, since=since))
    assert {change.ref.id: change.op for change in read} == {changed: "snapshot", deleted: "delete"}
    assert await again(pool, since=datetime.now(UTC)) == [Page([], {"of": "log", "key": None})]


async def test_what_a_running_transaction_may_have_touched_is_left_to_the_polls(pool: Any) -> None:
    key, other = await add(pool, "Acme"), await add(pool, "Other")
    async with pool.acquire() as slow, slow.transaction():
        await slow.fetchval("SELECT pg_current_xact_id()")
        await rename(pool, key, "later than the transaction that runs")
        assert [change.ref.id for change in changes(await again(pool))] == [other]


async def test_how_much_is_to_come_is_told_while_the_table_is_read(pool: Any) -> None:
    for number in range(5):
        await add(pool, f"{number}")
    assert [page.remaining for page in await again(pool)] == [3, 1, None, None, None, None]
