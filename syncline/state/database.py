"""Connecting to the state schema, and bringing it up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import asyncpg
import orjson

from syncline.contracts.errors import Fatal
from syncline.runtime.postgres import Url, new_pool

MIGRATION_LOCK = 0x53594E43
"""Advisory lock, so that two processes that start together migrate one after the other."""


@asynccontextmanager
async def connect(url: Url, *, application: str, size: int = 4) -> AsyncIterator[Any]:
    """A pool whose jsonb columns are Python values. Raises Transient or Fatal, never showing the URL's password."""
    pool = await new_pool(url, application=application, least=1, most=size, init=_json)
    try:
        yield pool
    finally:
        await pool.close()


async def _json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode, decoder=orjson.loads, format="text")


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


def _migrations() -> list[tuple[str, str]]:
    folder = files("syncline.state") / "migrations"
    return sorted((entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir() if entry.name[0] == "0")


async def migrate(pool: Any) -> list[str]:
    """Apply what is missing, each file in one transaction; returns the names. Forward only."""
    applied = []
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        try:
            await connection.execute(
                "CREATE SCHEMA IF NOT EXISTS syncline;"
                "CREATE TABLE IF NOT EXISTS syncline.migrations"
                " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            done = {row["name"] for row in await connection.fetch("SELECT name FROM syncline.migrations")}
            for name, script in _migrations():
                if name not in done:
                    async with connection.transaction():
                        await connection.execute(script)
                        await connection.execute("INSERT INTO syncline.migrations (name) VALUES ($1)", name)
                    applied.append(name)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
    return applied


async def check_migrated(pool: Any) -> None:
    """Raises Fatal when the schema is older than this code."""
    try:
        done = {row["name"] for row in await pool.fetch("SELECT name FROM syncline.migrations")}
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        done = set()
    if missing := [name for name, _ in _migrations() if name not in done]:
        raise Fatal(f"the state schema lacks {', '.join(missing)}: run `syncline migrate`")
