"""The local PostgreSQL: reached by URL, from child processes too; what was committed survives `kill -9`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from syncline.contracts.errors import Fatal
from syncline.local.machine import run_dir
from syncline.local.postgres import Server, postgres
from syncline.local.processes import run


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Server]:
    with run_dir(name="server") as data_dir:
        async with postgres(data_dir) as server:
            yield server


async def query(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_committed_survives_a_kill_and_a_restart(server: Server) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE links (id int); INSERT INTO links VALUES (1), (2)")
    await server.process.kill()  # with a client connected, as it is in life
    await server.process.restart()
    assert await query(server.url(), "SELECT count(*) FROM links") == 2
    connection.terminate()


async def test_data_stays_for_the_next_start_with_its_password() -> None:
    with run_dir(name="server") as data_dir:
        async with postgres(data_dir) as first:
            await query(first.url(), "CREATE TABLE links (id int)")
        async with postgres(data_dir) as second:
            assert await query(second.url(), "SELECT count(*) FROM links") == 0


async def test_a_database_is_its_own_and_may_be_a_copy(server: Server) -> None:
    original = await server.create_database("original")
    await query(original, "CREATE TABLE links (id int)")
    copy = await server.create_database("copy", template="original")
    await query(copy, "INSERT INTO links VALUES (1)")
    assert await query(copy, "SELECT count(*) FROM links") == 1
    assert await query(original, "SELECT count(*) FROM links") == 0
    await server.drop_database("copy")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await query(copy, "SELECT 1")
    with pytest.raises(Fatal, match=r"original cannot be created from template1.*already exists"):
        await server.create_database("original")


async def test_nobody_connects_without_the_password(server: Server) -> None:
    url = server.url().replace(":", ":x", 2).replace("postgresql:x", "postgresql:")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(url, "SELECT 1")


async def test_a_child_process_connects_by_the_url(server: Server, tmp_path: Path) -> None:
    code = f"import asyncio, asyncpg; asyncio.run(asyncpg.connect({server.url()!r}))"
    await run("client", [sys.executable, "-c", code], log_dir=tmp_path)


async def test_it_listens_on_this_machine_only_and_keeps_utc(server: Server) -> None:
    assert await query(server.url(), "SHOW listen_addresses") == "127.0.0.1"
    assert await query(server.url(), "SHOW timezone") == "UTC"


async def test_each_test_has_a_database_of_its_own(database_url: str) -> None:
    await query(database_url, "CREATE TABLE links (id int)")


async def test_and_finds_nothing_of_another(database_url: str) -> None:
    await query(database_url, "CREATE TABLE links (id int)")


async def test_a_template_is_prepared_once(fresh_database: Any) -> None:
    prepared = []

    async def prepare(url: str) -> None:
        prepared.append(url)
        await query(url, "CREATE TABLE links (id int)")

    for _ in range(2):
        async with fresh_database(prepare) as url:
            assert await query(url, "SELECT count(*) FROM links") == 0
            await query(url, "INSERT INTO links VALUES (1)")
    assert len(prepared) == 1
