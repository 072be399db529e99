"""Reading a Salesforce object again: everything as it is, or what changed since, resumable and with an end."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.poller.sources import Page, Position
from tests.unit.poller.org import START, World


async def again(
    world: World, position: Position | None = None, since: datetime | None = None, most: int | None = None
) -> list[Page]:
    pages, stream = [], world.source().again(position, since)
    async for page in stream:
        pages.append(page)
        if len(pages) == most:
            break
    await stream.aclose()
    return pages


def ops(pages: list[Page]) -> dict[str, str]:
    return {change.ref.id: change.op for page in pages for change in page.changes}


async def test_everything_is_read_deletions_too_however_old_it_is() -> None:
    world = World(page=2)
    old = world.write("old", late=400 * 86_400)
    kept, deleted = world.write("kept"), world.write("gone", deleted=True)
    world.tick(5)
    fresh = world.write("changed a moment ago")
    pages = await again(world)
    assert ops(pages) == {old: "snapshot", kept: "snapshot", deleted: "delete"}
    assert [page.remaining for page in pages] == [1, 0]
    assert fresh not in ops(pages)  # it comes by the next poll


async def test_it_goes_on_behind_a_page_and_ends_where_it_would_have_ended() -> None:
    world = World(page=2)
    ids = [world.write(f"{number}") for number in range(5)]
    world.tick(5)
    [first] = await again(world, most=1)
    later = world.write("later")
    world.tick(60)
    rest = await again(world, first.position)
    assert {*ops([first]), *ops(rest)} == set(ids)
    assert not set(ops([first])) & set(ops(rest))
    assert later not in ops(rest)


async def test_a_locator_that_dies_costs_no_row() -> None:
    world = World(page=2)
    ids = [world.write(f"{number}") for number in range(5)]
    world.tick(5)
    world.dead_locators = 1
    assert set(ops(await again(world))) == set(ids)


async def test_only_what_changed_since_then() -> None:
    world = World()
    world.write("old", late=3600)
    new = world.write("new", late=60)
    world.tick(5)
    assert set(ops(await again(world, since=START - timedelta(minutes=5)))) == {new}
    assert await again(world, since=START + timedelta(days=1)) == []
