"""PostgreSQL over TLS: let in, refused in plain words, and going on while what lets one in is replaced."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.poller.sources.postgres import open_pool
from syncline.contracts.errors import Fatal, SynclineError, Transient
from syncline.local.postgres import Databases
from syncline.local.system import PIPELINES
from syncline.runtime.postgres import errors
from syncline.runtime.secret import Renewed, read_file
from syncline.state.database import connect
from tests.certificates import Authority, put
from tests.conftest import FreshDatabase
from tests.secured_postgres import BEARER, Database

ENCRYPTED = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


async def session(url: str) -> tuple[bool, str | None]:
    async with connect(url, application="test", size=1) as pool:
        return tuple(await pool.fetchrow(ENCRYPTED))


async def test_by_password_and_by_client_certificate(secured_database: Database) -> None:
    assert await session(secured_database.url()) == (True, None)
    assert await session(secured_database.url(BEARER)) == (True, f"/CN={BEARER}")
    async with open_pool(secured_database.url(BEARER), size=1) as pool:
        assert tuple(await pool.fetchrow(ENCRYPTED)) == (True, f"/CN={BEARER}")


async def refusal(url: str, kind: type[SynclineError]) -> str:
    with pytest.raises(kind) as caught:
        await session(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


async def test_a_server_that_is_not_the_one_is_refused(
    secured_database: Database, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    url = secured_database.url
    other = put(tmp_path / "other.crt", Authority("other").pem)
    told = await refusal(url(sslrootcert=str(other)), Transient)
    assert f"cannot be reached: its certificate is signed by nobody in {other}: put the authority" in told
    assert "its certificate is not for localhost" in await refusal(url(host="localhost"), Transient)
    await secured_database.issue(secured_database.authority, server=timedelta(hours=-1))
    try:
        async with asyncio.timeout(10):
            while "has expired: renew it at the server" not in await expired(url()):
                await asyncio.sleep(0.02)
    finally:
        await secured_database.issue(secured_database.authority)
    async with fresh_database() as plain:
        assert "rejected SSL upgrade" in await refusal(f"{plain}?sslmode=require", Transient)


async def expired(url: str) -> str:
    """The server reads its certificate a moment after it is told to."""
    try:
        await session(url)
    except Transient as error:
        return str(error)
    return ""


async def test_who_the_server_refuses_is_told_why(secured_database: Database, tmp_path: Path) -> None:
    url = secured_database.url
    wrong = put(tmp_path / "password", "hush")
    told = await refusal(url(password_file=str(wrong)), Fatal)
    assert 'password authentication failed for user "ada"; check SYNCLINE_DATABASE_URL' in told
    assert "no encryption" in await refusal(url(sslmode="disable", sslrootcert=""), Fatal)
    assert "requires a valid client certificate" in await refusal(url(BEARER, sslcert="", sslkey=""), Fatal)
    pair = Authority("other").issue(BEARER)
    own = {
        "sslcert": str(put(tmp_path / "other.crt", pair.certificate)),
        "sslkey": str(put(tmp_path / "other.key", pair.key)),
    }
    assert f"it was shown the certificate {own['sslcert']}" in await refusal(url(BEARER, **own), Transient)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sslmode": ""}, "sslrootcert: has no effect without sslmode=verify-full"),
        ({"sslrootcert": ""}, "sslmode=verify-full: name the file of the authorities to trust by sslrootcert"),
        ({"sslmode": "full"}, "sslmode=full: must be one of disable, allow, prefer"),
        ({"sslcert": "/user.crt"}, "sslcert and sslkey: give both or neither"),
        ({"sslrootcert": "/absent"}, "cannot read /absent: No such file or directory"),
        ({"password_file": "/absent"}, "password_file: cannot read /absent"),
    ],
)
async def test_what_does_not_fit_is_told_before_anything_connects(options: dict[str, str], told: str) -> None:
    given = {"sslmode": "verify-full", "sslrootcert": "/dev/null", **options}
    query = "&".join(f"{name}={value}" for name, value in given.items() if value)
    assert told in await refusal(f"postgresql://ada:hush@127.0.0.1:1/state?{query}", Fatal)


@asynccontextmanager
async def busy(insert: Callable[[int], Any]) -> AsyncIterator[list[int]]:
    """One row after the other for as long as the block runs, repeated as a service would; yields those that are in."""
    done: list[int] = []
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            try:
                await insert(len(done))
            except Transient:
                await asyncio.sleep(0.01)
            else:
                done.append(len(done))

    working = asyncio.create_task(work())
    try:
        yield done
    finally:
        stop.set()
        await working


async def more(done: list[int], count: int = 20) -> None:
    goal = len(done) + count
    async with asyncio.timeout(20):
        while len(done) < goal:
            await asyncio.sleep(0.01)


async def test_all_that_lets_one_in_is_replaced_under_load(secured_database: Database, tmp_path: Path) -> None:
    """A password in its file, and a URL in its file that names another user and a certificate instead."""
    database, statement = secured_database, "INSERT INTO kept VALUES ($1) ON CONFLICT DO NOTHING"
    await database.execute("CREATE TABLE kept (n int PRIMARY KEY)", f"GRANT ALL ON kept TO {BEARER}")
    path = put(tmp_path / "url", database.url())
    url = Renewed(partial(read_file, path))
    refused: list[str] = []
    async with connect(url, application="test", size=2) as pool:

        async def insert(n: int) -> None:
            try:
                with errors("inserting"):
                    await pool.execute(statement, n)
            except Transient as error:
                refused.append(str(error))
                raise

        async with busy(insert) as done:
            await more(done)
            # Who was let in before waits while the file still holds the old password.
            await database.execute("ALTER ROLE ada PASSWORD 'hush-second'")
            await database.throw_out()
            async with asyncio.timeout(10):
                while not any("password authentication failed" in each for each in refused):
                    await asyncio.sleep(0.01)
            put(database.folder / "password", "hush-second")
            await more(done)
            await database.issue(Authority("theirs"))
            await database.throw_out()
            await more(done)
            put(path, database.url(BEARER))
            await database.throw_out()
            await more(done)
            assert await pool.fetchval("SELECT current_user") == BEARER
            path.unlink()
            await database.throw_out()
            async with asyncio.timeout(10):
                while f"cannot read {path}" not in refused[-1]:
                    await asyncio.sleep(0.01)
            put(path, database.url())
            await more(done)
        assert [row["n"] for row in await pool.fetch("SELECT n FROM kept ORDER BY n")] == done
    await database.execute("DROP TABLE kept")


async def test_the_command_line_migrates_over_tls(secured_database: Database, tmp_path: Path) -> None:
    """The state's URL from a file, the hub's from the environment's: both with all that TLS asks for."""
    owner = Databases(secured_database.url())
    for name in ("state", "hub"):
        await owner.create_database(name)
    environ = {
        "SYNCLINE_DATABASE_URL_FILE": str(put(tmp_path / "state", secured_database.url(name="state"))),
        "SYNCLINE_HUB_URL_FILE": str(put(tmp_path / "hub", secured_database.url(name="hub"))),
        "SYNCLINE_PIPELINES": str(PIPELINES),
        "SALESFORCE_LOGIN_URL": "https://acme.my.salesforce.com",
        "SALESFORCE_CLIENT_ID": "id",
        "SALESFORCE_CLIENT_SECRET_FILE": str(put(tmp_path / "secret", "hush")),
    }
    program = "from syncline.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "migrate", "--hub"),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"state schema: 0001_start.sql" in out
    for name in ("state", "hub"):
        await owner.drop_database(name)
