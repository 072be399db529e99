"""The hub as a source: nothing is missed behind a running transaction, and versions follow the content."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.poller.sources import Position
from services.poller.sources.postgres import Notifications, PostgresSource
from syncline.contracts.change import Change
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Object
from syncline.hub import capture
from tests.conftest import FreshDatabase
from tests.integration.hub_database import OBJECTS, hub

FIELDS = ("name", "tier", "shipping.city")
NEVER = "0" * 20


@dataclass
class Reader:
    """Reads as the loop does, keeping the position; `last` is the newest change of each record."""

    source: PostgresSource
    position: Position | None = None
    last: dict[str, Change] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)

    async def read(self, pages: int | None = None) -> list[Change]:
        found = []
        stream = self.source.pages(self.position)
        async for page in stream:
            found += page.changes
            self.position = page.position
            self.positions.append(page.position)
            if len(self.positions) == pages:
                await stream.aclose()
                break
        for change in found:
            before = self.last.get(change.ref.id)
            assert before is None or before.version <= change.version
            self.last[change.ref.id] = change
        return found


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> AsyncIterator[tuple[str, Any]]:
    async with hub(fresh_database) as found:
        yield found


@pytest.fixture
async def pool(database: tuple[str, Any]) -> Any:
    return database[1]


def source(pool: Any, most: int = 100, touched: asyncio.Event | None = None) -> PostgresSource:
    return PostgresSource(
        Object("hub", "company"),
        pool,
        OBJECTS["company"],
        FIELDS,
        instance="main",
        interval=60,
        touched=touched or asyncio.Event(),
        most=most,
    )


@pytest.fixture
async def reader(pool: Any) -> Reader:
    """Past the first snapshot of an empty table."""
    reader = Reader(source(pool))
    assert await reader.read() == []
    assert reader.position
    return reader


async def add(database: Any, name: str) -> str:
    return str(await database.fetchval("INSERT INTO hub.companies (name) VALUES ($1) RETURNING id", name))


async def rename(database: Any, key: str, name: str) -> None:
    await database.execute("UPDATE hub.companies SET name = $2 WHERE id = $1::text::uuid", key, name)


async def test_creations_updates_and_deletions_become_changes_of_the_whole_record(pool: Any, reader: Reader) -> None:
    key = await add(pool, "Acme")
    (created,) = await reader.read()
    assert created.fields == {"name": "Acme", "tier": None, "shipping.city": None}
    assert (created.op, created.complete, created.origin, created.instance) == ("update", True, "crm", "main")
    assert created.ref == ("hub", "company", key)
    await pool.execute(
        "INSERT INTO hub.addresses (company_id, is_primary, city) VALUES ($1::text::uuid, true, 'Oslo')", key
    )
    (moved,) = await reader.read()
    assert moved.fields["shipping.city"] == "Oslo"
    assert moved.version > created.version
    await pool.execute("DELETE FROM hub.companies")
    (deleted,) = await reader.read()
    assert (deleted.op, deleted.fields, deleted.ref.id) == ("delete", {}, key)
    assert deleted.version > moved.version
    assert await reader.read() == []


async def test_a_change_that_commits_after_a_later_one_was_read_is_not_missed(pool: Any, reader: Reader) -> None:
    key = await add(pool, "Acme")
    await reader.read()
    async with pool.acquire() as slow, slow.transaction():
        early = await add(slow, "Early")
        late = await add(pool, "Late")
        await rename(pool, key, "Acme 2")
        assert await reader.read() == [], "nothing above a running transaction is final"
    changes = await reader.read()
    assert [change.ref.id for change in changes] == [early, late, key]
    assert await reader.read() == []


async def test_a_running_transaction_of_another_table_only_delays(pool: Any, reader: Reader) -> None:
    async with pool.acquire() as slow, slow.transaction():
        await slow.fetchval("SELECT pg_current_xact_id()")
        key = await add(pool, "Acme")
        assert await reader.read() == []
    assert [change.ref.id for change in await reader.read()] == [key]


async def test_versions_follow_the_content_when_two_transactions_touch_one_record(pool: Any, reader: Reader) -> None:
    """Two addresses of one company in overlapping transactions: the one that logged first commits last."""
    key = await add(pool, "Acme")
    add_address = "INSERT INTO hub.addresses (company_id, kind, is_primary, city) VALUES ($1::text::uuid, $2, $3, $4)"
    async with pool.acquire() as slow, slow.transaction():
        await slow.execute(add_address, key, "shipping", True, "Oslo")
        await pool.execute(add_address, key, "billing", True, "Bergen")
        found = await source(pool).fetch([key])
        assert found == ([], []), "it is not settled while another may be logging it"
    await reader.read()
    assert reader.last[key].fields["shipping.city"] == "Oslo"
    newest = await pool.fetchval("SELECT max(seq) FROM syncline_capture.changes")
    assert reader.last[key].version == f"{newest:020d}"


async def test_the_last_change_is_the_present_record_whatever_the_transactions_did(pool: Any, reader: Reader) -> None:
    """Writers that overlap in every way, read all the while in pages of three."""
    reader.source = source(pool, most=3)
    keys = [await add(pool, f"Company {number}") for number in range(6)]

    async def write(number: int) -> None:
        for step in range(12):
            async with pool.acquire() as connection, connection.transaction():
                for key in sorted({keys[(number + step) % 6], keys[(number * step) % 6]}):
                    await rename(connection, key, f"{number} {step}")
                    await asyncio.sleep(0)
                if step == 11 and number == 0:
                    await connection.execute("DELETE FROM hub.companies WHERE id = $1::text::uuid", keys[5])

    writers = asyncio.gather(*(write(number) for number in range(4)))
    while not writers.done():
        await reader.read()
    await writers
    await reader.read()
    present = {str(row["id"]): row["name"] for row in await pool.fetch("SELECT id, name FROM hub.companies")}
    assert {key: change.fields["name"] for key, change in reader.last.items() if change.op != "delete"} == present
    assert reader.last[keys[5]].op == "delete" or keys[5] in present


async def test_a_page_has_each_record_once_and_parents_before_their_children(pool: Any, reader: Reader) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval("SELECT pg_current_xact_id()")  # the child's transaction began first
        parent = await add(pool, "Parent")
        child = await connection.fetchval(
            "INSERT INTO hub.companies (name, parent_id) VALUES ('Child', $1::text::uuid) RETURNING id::text", parent
        )
        await connection.execute("UPDATE hub.companies SET tier = 'gold' WHERE name = 'Child'")
    assert [change.ref.id for change in await reader.read()] == [parent, child]


async def test_the_first_read_is_a_snapshot_of_everything_in_pages_that_can_be_resumed(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = 'replica'")  # before capture was installed
        old = await add(connection, "Old")
    keys = {old, *[await add(pool, f"Company {number}") for number in range(4)]}
    first = Reader(source(pool, most=2))
    await first.read(pages=1)
    second = Reader(source(pool, most=2), first.position)
    changes = [*first.last.values(), *await second.read()]
    assert {change.ref.id for change in changes} == keys
    assert len(changes) == 5
    assert {change.op for change in changes} == {"snapshot"}
    versions = {change.ref.id: change.version for change in changes}
    assert versions.pop(old) == NEVER
    assert all(version > NEVER for version in versions.values())
    assert await second.read() == []
    assert second.position is not None
    assert "key" not in second.position


async def test_what_changes_during_the_snapshot_is_read_from_the_log(pool: Any) -> None:
    keys = [await add(pool, f"Company {number}") for number in range(4)]
    reader = Reader(source(pool, most=2))
    async with pool.acquire() as slow, slow.transaction():
        await rename(slow, keys[0], "Slow")
        await reader.read(pages=1)
        await rename(pool, keys[1], "Quick")
        await pool.execute("DELETE FROM hub.companies WHERE id = $1::text::uuid", keys[2])
        new = await add(pool, "New")
    await reader.read()
    names = {key: change.fields.get("name") for key, change in reader.last.items()}
    assert names[keys[0]] == "Slow"
    assert names[keys[1]] == "Quick"
    assert names[new] == "New"
    assert keys[2] not in reader.last or reader.last[keys[2]].op == "delete"


async def test_what_was_uncommitted_during_the_whole_snapshot_is_read_from_the_log(pool: Any) -> None:
    key = await add(pool, "Acme")
    reader = Reader(source(pool))
    async with pool.acquire() as slow, slow.transaction():
        await rename(slow, key, "Slow")
        await pool.fetchval("SELECT pg_current_xact_id()")  # a later transaction has ended already
        (snapshot,) = await reader.read()
        assert snapshot.fields["name"] == "Acme"
    (change,) = await reader.read()
    assert change.fields["name"] == "Slow"
    assert change.version > snapshot.version


async def test_a_version_is_never_newer_than_the_row_it_comes_with(
    pool: Any, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await add(pool, "Acme")
    read_versions = capture.versions

    async def interrupted(connection: Any, name: str, keys: Any) -> Any:
        await rename(pool, key, "Acme 2")
        return await read_versions(connection, name, keys)

    with monkeypatch.context() as between:
        between.setattr(capture, "versions", interrupted)
        stale = (await reader.source.fetch([key])).changes + await reader.read(pages=len(reader.positions) + 1)
    (change,) = await reader.read()
    assert {each.fields["name"] for each in stale} == {"Acme", "Acme 2"}
    assert [each.version for each in [*stale, change]] == sorted({each.version for each in [*stale, change]})


async def test_a_backlog_is_read_in_pages_and_resumed_behind_the_last_one_stored(pool: Any, reader: Reader) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for number in range(5):
            await add(connection, f"Together {number}")
    for number in range(3):
        await add(pool, f"Alone {number}")
    reader.source = source(pool, most=3)
    first = await reader.read(pages=len(reader.positions) + 1)
    assert len(first) == 3
    rest = await reader.read()
    assert len(rest) == 5
    assert len(reader.last) == 8


async def test_reading_again_from_an_old_position_gives_the_same_events(pool: Any, reader: Reader) -> None:
    start = reader.position
    for name in ("A", "B"):
        await add(pool, name)
    first = await reader.read()
    reader.position = start
    assert [change.id for change in await reader.read()] == [change.id for change in first]


async def test_pruning_changes_no_event(pool: Any, reader: Reader) -> None:
    key = await add(pool, "Acme")
    for name in ("B", "C"):
        await rename(pool, key, name)
    (before,) = await reader.read()
    assert reader.position
    horizon, _ = await capture.horizon(pool)
    assert await capture.prune(pool, "company", horizon, 0) == 2
    (after,) = (await reader.source.fetch([key])).changes
    assert (after.version, after.id) == (before.version, before.id)


async def test_records_asked_for_are_read_and_the_others_named(pool: Any, reader: Reader) -> None:
    key = await add(pool, "Acme")
    gone = "00000000-0000-0000-0000-000000000000"
    found = await reader.source.fetch([key.upper(), gone, "no uuid at all"])
    assert [(change.ref.id, change.op) for change in found.changes] == [(key, "snapshot")]
    assert found.missing == [gone, "no uuid at all"]
    (polled,) = await reader.read()
    assert polled.id == found.changes[0].id


async def test_what_changed_while_nobody_logged_it_is_no_older_than_what_was_known_of_it(
    pool: Any, reader: Reader
) -> None:
    kept, removed = await add(pool, "Acme"), await add(pool, "Gone")
    before = {change.ref.id: change.version for change in await reader.read()}
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # triggers do not fire
        await connection.execute("UPDATE hub.companies SET name = 'Acme 2' WHERE id = $1::text::uuid", kept)
        await connection.execute("DELETE FROM hub.companies WHERE id = $1::text::uuid", removed)
        await connection.execute("DELETE FROM syncline_capture.changes WHERE key = $1", kept)
    found = await reader.source.fetch([kept, removed], before)
    assert [(each.ref.id, each.op, each.version) for each in found.changes] == [
        (kept, "snapshot", before[kept]),
        (removed, "delete", before[removed]),
    ]
    assert found.changes[0].fields["name"] == "Acme 2"
    assert found.missing == []
    unmet = await reader.source.fetch([kept, removed])
    assert ([each.version for each in unmet.changes], unmet.missing) == (["0" * 20], [removed])


async def test_a_position_of_another_database_is_refused(pool: Any, reader: Reader) -> None:
    reader.position = {"xid": "999999999999", "seq": 1}
    with pytest.raises(Fatal, match=r"restored or replaced.*syncline\.cursors"):
        await reader.read()


async def test_a_column_that_is_gone_is_fatal_and_a_lost_connection_is_not(pool: Any, reader: Reader) -> None:
    await add(pool, "Acme")
    await pool.execute("ALTER TABLE hub.companies DROP COLUMN tier")
    with pytest.raises(Fatal, match=r"reading hub/company: .*tier"):
        await reader.read()
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await pool.expire_connections()
    pool.terminate()
    with pytest.raises(Transient):
        await reader.read()


async def test_a_commit_wakes_the_reader_also_after_the_listening_connection_was_lost(pool: Any) -> None:
    notifications = Notifications(pool, ["company"])
    stop = asyncio.Event()
    listening = asyncio.create_task(notifications.listen(stop, random.Random(1)))
    reader = Reader(source(pool, touched=notifications.touched["company"]))
    try:
        await asyncio.wait_for(reader.source.wait(60), 10)  # whatever came before it listened
        for _ in range(2):
            await add(pool, "Acme")
            await asyncio.wait_for(reader.source.wait(60), 10)
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()"
            )
            await asyncio.wait_for(reader.source.wait(60), 10)  # it listens again
    finally:
        stop.set()
        await asyncio.wait_for(listening, 10)
