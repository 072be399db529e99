"""The state schema on a real PostgreSQL: brought up to date once, whoever comes first; and what a connection says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from syncline.contracts.errors import Fatal, SynclineError, Transient
from syncline.runtime.sql import named
from syncline.state import database
from syncline.state.database import check_migrated, connect, migrate

TABLES = {"conflicts", "cursors", "leases", "links", "members", "migrations"}


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with connect(database_url, application="test", size=6) as pool:
        yield pool


async def tables(pool: Any) -> set[str]:
    rows = await pool.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'syncline'")
    return {row["table_name"] for row in rows}


async def test_an_empty_database_is_brought_up_to_date_once(pool: Any) -> None:
    first = await migrate(pool)
    assert first == sorted(first) == [name for name, _ in database._migrations()]
    assert await tables(pool) >= TABLES
    assert await migrate(pool) == []
    await check_migrated(pool)


async def test_processes_that_start_together_migrate_one_after_the_other(pool: Any) -> None:
    applied = await asyncio.gather(*(migrate(pool) for _ in range(5)))
    assert sorted(filter(None, applied)) == [[name for name, _ in database._migrations()]]
    rows = await pool.fetch("SELECT name FROM syncline.migrations")
    assert len(rows) == len(database._migrations())


async def test_a_newer_release_applies_only_what_it_adds(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(pool)
    added = [*database._migrations(), ("0999_more.sql", "CREATE TABLE syncline.more (id int); SELECT 1")]
    monkeypatch.setattr(database, "_migrations", lambda: added)
    with pytest.raises(Fatal, match=r"the state schema lacks 0999_more.sql: run `syncline migrate`"):
        await check_migrated(pool)
    assert await migrate(pool) == ["0999_more.sql"]
    await check_migrated(pool)
    assert "more" in await tables(pool)


async def test_a_migration_that_fails_leaves_nothing_behind_and_can_be_tried_again(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = database._migrations()
    only_its_name_fails = "ALTER TABLE syncline.migrations ADD CHECK (name <> '0998_half.sql')"
    broken = ("0998_half.sql", f"CREATE TABLE syncline.half (id int); {only_its_name_fails}")
    monkeypatch.setattr(database, "_migrations", lambda: [*shipped, broken])
    with pytest.raises(Exception, match="violates check constraint"):
        await migrate(pool)
    assert await tables(pool) >= TABLES
    assert "half" not in await tables(pool)
    monkeypatch.setattr(database, "_migrations", lambda: shipped)
    async with asyncio.timeout(10):  # the lock was given back
        assert await migrate(pool) == []


async def test_a_database_that_was_never_migrated_is_told_with_the_command(pool: Any) -> None:
    with pytest.raises(Fatal, match=r"the state schema lacks 0001_start.sql.*: run `syncline migrate`"):
        await check_migrated(pool)


async def test_json_columns_are_values(pool: Any) -> None:
    value = {"text": "ä", "number": 1.5, "none": None, "list": [True]}
    assert await pool.fetchval("SELECT $1::jsonb", value) == value


async def refusal(url: str) -> SynclineError:
    with pytest.raises(SynclineError) as caught:
        async with connect(url, application="test"):
            pass
    told = caught.value
    assert "hush" not in str(told)
    assert told.__cause__ is None, "the driver's error may quote the address with its password"
    assert told.__suppress_context__
    return told


def other(url: str, **parts: Any) -> str:
    """The address with a part replaced: user, password, port or name."""
    given = urlsplit(url)
    now = {"user": given.username, "password": given.password, "port": given.port, "name": given.path[1:]} | parts
    return f"postgresql://{now['user']}:{now['password']}@{given.hostname}:{now['port']}/{now['name']}"


async def test_a_wrong_password_is_refused_and_never_shown(database_url: str) -> None:
    told = await refusal(other(database_url, password="hush"))
    assert isinstance(told, Fatal)
    assert "check SYNCLINE_DATABASE_URL" in str(told)


async def test_a_user_and_a_database_that_are_not_there_are_refused(database_url: str) -> None:
    assert isinstance(await refusal(other(database_url, user="nobody", password="hush")), Fatal)
    told = await refusal(other(database_url, name="nowhere"))
    assert isinstance(told, Fatal)
    assert '"nowhere" does not exist' in str(told)


async def test_a_server_that_is_not_there_may_come_later(database_url: str) -> None:
    with socket.socket() as holder:  # bound and not listening
        holder.bind(("127.0.0.1", 0))
        url = f"postgresql://syncline:hush@127.0.0.1:{holder.getsockname()[1]}/state"
        assert isinstance(await refusal(url), Transient)


@pytest.mark.parametrize("url", ["mysql://ada:hush@db/x", "postgresql://ada:hush@127.0.0.1:port/x", "hush"])
async def test_an_address_that_cannot_be_read_is_told_without_it(url: str) -> None:
    told = await refusal(url)
    assert isinstance(told, Fatal)
    assert "must be postgresql://user:password@host:port/name" in str(told)


async def test_the_statements_of_the_last_release_run_on_this_schema(pool: Any) -> None:
    """Services that are not replaced yet, or went back, say these."""
    await migrate(pool)
    released = Path(__file__).parents[1] / "unit" / "releases" / "released" / "sql"
    said = {
        f"{path.name}: {name}": statement
        for path in sorted(released.glob("*.sql"))
        for name, statement in named(path.read_text()).items()
    }
    assert len(said) > 30
    async with pool.acquire() as connection:
        for name, statement in said.items():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                raise AssertionError(f"{name}: {error}") from None
