"""Links and conflicts on a real PostgreSQL: what is found, who wins a race, and that a row never takes others down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from syncline.contracts.conflict import Conflict
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.state.conflicts import Conflicts
from syncline.state.database import connect, migrate
from syncline.state.links import SQL, Links
from tests.conftest import FreshDatabase

ACCOUNT, COMPANY, LEAD = Object("sf", "Account"), Object("hub", "company"), Object("sf", "Lead")


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
def links(pool: Any) -> Links:
    return Links(pool)


def link(account: str, company: str, *, version: str = "1") -> Link:
    return Link(
        Side(Ref(*ACCOUNT, account), version, {"Name": account, "Tier": None}),
        Side(Ref(*COMPANY, company), version, {"name": company, "size": 12.5, "active": True}),
    )


def turned(link: Link) -> Link:
    return replace(link, source=link.target, target=link.source)


async def stored(links: Links, link: Link) -> Link:
    asked = (link.source.ref, link.target.ref.kind)
    return (await links.find([asked]))[asked]


async def test_a_link_is_found_from_both_sides_each_seen_from_the_side_that_asked(links: Links) -> None:
    one = link("001A", "c/1")
    assert await links.save([one]) == [True]
    from_account, from_company = (one.source.ref, COMPANY), (one.target.ref, ACCOUNT)
    found = await links.find([from_account, from_company, (one.source.ref, LEAD), (Ref(*ACCOUNT, "001B"), COMPANY)])
    kept = replace(one, revision=1, id=found[from_account].id)
    assert kept.id > 0
    assert found == {from_account: kept, from_company: turned(kept)}


async def test_a_batch_is_one_statement_each_way(pool: Any) -> None:
    sent: list[str] = []
    many = [link(f"001{n}", f"c{n}") for n in range(500)]
    async with pool.acquire() as connection:
        with connection.query_logger(lambda record: sent.append(record.query)):
            links = Links(connection)
            assert all(await links.save(many))
            assert len(await links.find([(each.source.ref, COMPANY) for each in many])) == 500
    assert len(sent) == 2


async def test_an_update_moves_the_revision_and_takes_what_is_known(links: Links) -> None:
    await links.save([link("001A", "c1")])
    held = await stored(links, link("001A", "c1"))
    newer = replace(held, source=replace(held.source, version="2", known={"Name": None}))
    assert await links.save([newer]) == [True]
    assert await stored(links, newer) == replace(newer, revision=2)


async def test_the_slower_of_two_writers_is_told_and_changes_nothing(links: Links) -> None:
    await links.save([link("001A", "c1")])
    held = await stored(links, link("001A", "c1"))
    first = replace(held, source=replace(held.source, known={"Name": "first"}))
    second = turned(replace(held, source=replace(held.source, known={"Name": "second"})))
    assert await links.save([first]) == [True]
    assert await links.save([second]) == [False]
    assert (await stored(links, held)).source.known == {"Name": "first"}


async def test_one_lost_row_does_not_cost_its_neighbours(links: Links) -> None:
    await links.save([link("001A", "c1"), link("001B", "c2")])
    stale = replace(link("001A", "c1"), revision=7)
    again = link("001B", "c2")
    taken_source, taken_target = link("001A", "c9"), link("001Z", "c1")
    good, patch = link("001C", "c3"), await stored(links, link("001B", "c2"))
    given = [stale, again, taken_source, good, taken_target, patch]
    assert await links.save(given) == [False, False, False, True, False, True]
    assert (await stored(links, good)).revision == 1
    assert (await stored(links, patch)).revision == 2


async def test_two_of_one_batch_that_claim_the_same_record_or_row_are_one_winner(links: Links) -> None:
    assert sum(await links.save([link("001A", "c1"), link("001B", "c1"), link("001A", "c1")])) == 1
    held = (await links.find([(Ref(*COMPANY, "c1"), ACCOUNT)]))[Ref(*COMPANY, "c1"), ACCOUNT]
    assert sum(await links.save([held, turned(held)])) == 1
    assert (await stored(links, held)).revision == 2


async def test_versions_never_go_backwards_on_either_side(links: Links) -> None:
    await links.save([link("001A", "c1", version="2026-11-20T10:00:00.000Z")])
    held = await stored(links, link("001A", "c1"))
    older = replace(
        held,
        source=replace(held.source, version="2026-11-19T10:00:00.000Z"),
        target=replace(held.target, version=""),
    )
    assert await links.save([older]) == [True]
    kept = await stored(links, held)
    assert (kept.source.version, kept.target.version) == (held.source.version, held.target.version)


def marked(held: Link) -> Link:
    """Every column that is not of the plain pair."""
    return replace(
        held,
        source=replace(held.source, review=("Name", "Tier")),
        target=replace(held.target, review=("name",), contested=("Fax",)),
        ended="unlinked",
        ended_by="hub",
        bounces=3,
        bounced_to="sf",
        bounced_at="2026-11-21T10:00:00+00:00",
        paused=True,
    )


async def test_how_a_pair_ended_bounced_and_waits_for_a_person_is_kept_from_both_sides(links: Links, pool: Any) -> None:
    await links.save([link("001A", "c1"), marked(link("001B", "c2"))])
    held = await stored(links, link("001A", "c1"))
    assert await links.save([turned(marked(held))]) == [True]
    for plain in (link("001A", "c1"), link("001B", "c2")):
        kept = await stored(links, plain)
        assert replace(kept, id=0, revision=0) == marked(plain)
        assert await stored(links, turned(plain)) == turned(kept)
    kinds = await pool.fetch("SELECT jsonb_typeof(a_review) AS a, jsonb_typeof(b_review) AS b FROM syncline.links")
    assert {*map(tuple, kinds)} == {("array", "array")}
    again = replace(await stored(links, held), ended=None, ended_by=None, bounced_to=None, bounced_at=None)
    assert await links.save([again]) == [True]
    assert await stored(links, held) == replace(again, revision=3)


async def test_a_pair_that_begins_again_with_another_record_keeps_its_row(links: Links) -> None:
    await links.save([replace(link("001A", "c1", version="7"), ended="deleted", ended_by="sf")])
    ended = await stored(links, link("001A", "c1"))
    again = replace(link("001A", "c2", version="5"), id=ended.id, revision=ended.revision)
    assert await links.save([again]) == [True]
    kept = await stored(links, again)
    assert (kept.id, kept.revision, kept.ended, kept.target.ref.id) == (ended.id, 2, None, "c2")
    assert kept.source.version == "7"
    # The version of the record before says nothing of the new one, whose own changes may have older ones.
    assert kept.target.version == "5"
    assert await links.find([(Ref(*COMPANY, "c1"), ACCOUNT)]) == {}


async def test_only_the_pair_whose_new_record_is_linked_by_now_is_to_be_planned_again(links: Links) -> None:
    await links.save([replace(link(f"001{n}", f"c{n}"), ended="deleted", ended_by="sf") for n in range(4)])
    await links.save([link("001Z", "taken")])
    ended = [await stored(links, link(f"001{n}", f"c{n}")) for n in range(4)]
    revived = [
        replace(link(f"001{n}", "taken" if n == 2 else f"d{n}"), id=each.id, revision=each.revision)
        for n, each in enumerate(ended)
    ]
    new = link("001N", "n")
    assert await links.save([*revived, new]) == [True, True, False, True, True]
    assert [(await stored(links, each)).target.ref.id for each in revived] == ["d0", "d1", "c2", "d3"]
    assert await stored(links, ended[2]) == ended[2]
    assert (await stored(links, link("001Z", "taken"))).revision == 1


async def test_both_directions_that_save_the_same_links_at_once_neither_deadlock_nor_lose_a_row(
    url: str, links: Links
) -> None:
    await links.save([link(f"001{n}", f"c{n}") for n in range(300)])
    found = list((await links.find([(Ref(*ACCOUNT, f"001{n}"), COMPANY) for n in range(300)])).values())
    fresh = [link(f"002{n}", f"d{n}") for n in range(300)]
    # With a large table PostgreSQL fetches row by row, in the order given.
    for plan in ("seqscan", "hashjoin", "mergejoin"):
        await links._pool.execute(
            f"ALTER ROLE CURRENT_USER IN DATABASE {url.rpartition('/')[2]} SET enable_{plan} = off"
        )
    async with connect(url, application="test", size=2) as pool:
        racing = Links(pool)
        ours, theirs = await asyncio.gather(
            racing.save([*found, *fresh]), racing.save([turned(each) for each in reversed([*found, *fresh])])
        )
    assert [one + other for one, other in zip(ours, reversed(theirs), strict=True)] == [1] * 600


async def test_nothing_asked_costs_nothing(links: Links) -> None:
    assert (await links.find([]), await links.save([])) == ({}, [])


async def test_drivers_errors_do_not_leak(url: str) -> None:
    admin = await asyncpg.connect(url)
    async with connect(url, application="test", size=1) as pool:
        links = Links(pool)
        async with admin.transaction():
            await admin.execute("LOCK TABLE syncline.links")
            waiting = asyncio.create_task(links.find([(Ref(*ACCOUNT, "001A"), COMPANY)]))
            while not await admin.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0)
            with pytest.raises(Transient, match=r"reading syncline\.links"):
                await waiting
        await admin.execute("ALTER TABLE syncline.links RENAME TO elsewhere")
        with pytest.raises(Fatal, match="42P01"):
            await links.save([link("001A", "c1")])
    with pytest.raises(Transient):
        await links.find([(Ref(*ACCOUNT, "001A"), COMPANY)])
    await admin.close()


async def test_a_conflict_is_recorded_once_and_listed_newest_first(pool: Any) -> None:
    conflicts = Conflicts(pool)
    first = Conflict(
        pipeline="out",
        source=Ref(*ACCOUNT, "001A"),
        target=Ref(*COMPANY, "c/1"),
        field="phone",
        agreed=None,
        incoming="1",
        present=2.5,
        decided="incoming",
        version="1",
    )
    second = replace(first, field="name", agreed=False)
    await conflicts.record([first])
    await conflicts.record([second, replace(first, decided="review"), second])
    await conflicts.record([])
    assert [each.conflict for each in await conflicts.list(10)] == [second, first]
    assert [each.conflict for each in await conflicts.list(1)] == [second]
    other = replace(first, present="typed since", decided="review", inputs=("Phone",))
    await conflicts.record([other])
    [waiting] = await conflicts.list(10, waiting=True)
    assert waiting.conflict == other
    await conflicts.resolve([waiting.id], "hub")
    assert await conflicts.list(10, waiting=True) == []
    kept = await conflicts.get(waiting.id)
    assert kept is not None
    assert kept.resolved == "hub"


async def test_a_record_is_found_by_its_own_id_also_in_a_table_without_statistics(pool: Any) -> None:
    """By the other side's kind it would be found too, after a look at every link of the two objects."""
    await pool.execute(
        "INSERT INTO syncline.links"
        " (a_system, a_object, a_id, a_version, a_known, b_system, b_object, b_id, b_version, b_known)"
        " SELECT 'hub', 'company', n::text, '', '{}', 'sf', 'Account', n::text, '', '{}'"
        " FROM generate_series(1, 500) AS n"
    )
    for asked, row in (
        ("a", ("hub", "company", "7", "sf", "Account")),
        ("b", ("sf", "Account", "7", "hub", "company")),
    ):
        arguments = [[asked], *([each] for each in row)]
        plan = await pool.fetch("EXPLAIN (ANALYZE, FORMAT TEXT) " + SQL["find"], *arguments)
        said = "\n".join(line[0] for line in plan)
        assert "Rows Removed by Filter: 499" not in said, said
        assert f"links_{asked}" in said, said
