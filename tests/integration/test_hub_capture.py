"""The triggers of the hub: what is logged, by which transaction, and that a person hears when it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from syncline.config.model import Embed, HubObject
from syncline.contracts.errors import Fatal
from syncline.hub import capture
from syncline.hub.records import record_query
from syncline.hub.tables import catalog, describe
from tests.conftest import FreshDatabase
from tests.integration.hub_database import OBJECTS, hub


@pytest.fixture
async def pool(fresh_database: FreshDatabase) -> AsyncIterator[Any]:
    async with hub(fresh_database) as (_, pool):
        yield pool


async def add_company(pool: Any, name: str = "Acme") -> str:
    return str(await pool.fetchval("INSERT INTO hub.companies (name) VALUES ($1) RETURNING id", name))


async def add_customer(pool: Any, last_name: str = "Ng") -> str:
    return str(await pool.fetchval("INSERT INTO hub.customers (last_name) VALUES ($1) RETURNING id", last_name))


async def entries(pool: Any) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT object, key FROM syncline_capture.changes ORDER BY seq")
    return [(row["object"], row["key"]) for row in rows]


async def empty_log(pool: Any) -> None:
    await pool.execute("DELETE FROM syncline_capture.changes")


async def test_every_kind_of_statement_logs_each_record_it_touched_once(pool: Any) -> None:
    a, b = await add_company(pool, "A"), await add_company(pool, "B")
    assert await entries(pool) == [("company", a), ("company", b)]
    for statement in (
        "UPDATE hub.companies SET tier = 'gold'",
        "UPDATE hub.companies SET tier = tier",
        "DELETE FROM hub.companies",
    ):
        await empty_log(pool)
        await pool.execute(statement)
        assert sorted(await entries(pool)) == sorted([("company", a), ("company", b)]), statement
    await empty_log(pool)
    await pool.execute("UPDATE hub.companies SET tier = 'none of them'")
    assert await entries(pool) == []


async def test_an_upsert_and_a_copy_are_logged(pool: Any) -> None:
    statement = (
        "INSERT INTO hub.companies (salesforce_id, name) VALUES ('001', 'Acme')"
        " ON CONFLICT (salesforce_id) DO UPDATE SET name = excluded.name RETURNING id"
    )
    key = str(await pool.fetchval(statement))
    await pool.fetchval(statement)
    async with pool.acquire() as connection:
        await connection.copy_records_to_table(
            "companies", schema_name="hub", columns=["name"], records=[("B",), ("C",)]
        )
    assert (await entries(pool))[:2] == [("company", key)] * 2
    assert len(await entries(pool)) == 4


async def test_a_changed_key_logs_the_old_and_the_new(pool: Any) -> None:
    old = await add_company(pool)
    new = str(await pool.fetchval("UPDATE hub.companies SET id = gen_random_uuid() RETURNING id"))
    assert set((await entries(pool))[1:]) == {("company", old), ("company", new)}


async def test_truncation_logs_every_record_that_it_removes(pool: Any) -> None:
    keys = {await add_company(pool), await add_company(pool)}
    await empty_log(pool)
    await pool.execute("TRUNCATE hub.companies CASCADE")
    assert {key for name, key in await entries(pool) if name == "company"} == keys


async def test_an_address_logs_its_owner_whoever_that_is_or_was(pool: Any) -> None:
    company, customer = await add_company(pool), await add_customer(pool)
    await empty_log(pool)
    await pool.execute("INSERT INTO hub.addresses (company_id, city) VALUES ($1, 'Oslo')", company)
    assert await entries(pool) == [("company", company)]
    await empty_log(pool)
    await pool.execute("UPDATE hub.addresses SET company_id = NULL, customer_id = $1", customer)
    assert set(await entries(pool)) == {("company", company), ("customer", customer)}
    await empty_log(pool)
    await pool.execute("DELETE FROM hub.customers")
    assert set(await entries(pool)) == {("customer", customer)}, "a cascading delete of the address counts too"


async def test_the_log_tells_who_and_in_which_transaction(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL application_name = 'syncline-writer'")
        key = await add_company(connection)
        assert (await capture.versions(connection, "company", [key]))[key].origin == "syncline-writer"
        xid = await connection.fetchval("SELECT pg_current_xact_id()::text")
    assert await pool.fetchval("SELECT xid::text FROM syncline_capture.changes") == xid
    await pool.execute("UPDATE hub.companies SET tier = 'gold'")
    version = (await capture.versions(pool, "company", [key, "no such key"]))[key]
    assert version.origin == "crm"
    assert version.settled
    assert len(version.text) == 20
    assert version.time.endswith("Z")


async def test_a_rolled_back_change_leaves_nothing(pool: Any) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await add_company(connection)
        await transaction.rollback()
    assert await entries(pool) == []


async def test_who_may_write_a_table_needs_no_right_on_the_log(pool: Any) -> None:
    role = f"clerk_{await pool.fetchval('SELECT pg_backend_pid()')}"
    async with pool.acquire() as connection:
        await connection.execute(
            f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA hub TO {role}; GRANT ALL ON hub.companies TO {role};"
            f"SET ROLE {role}"
        )
        try:
            await connection.execute("INSERT INTO hub.companies (name) VALUES ('Acme')")
        finally:
            await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")
    assert len(await entries(pool)) == 1


async def test_installing_again_changes_nothing_and_an_embed_that_is_gone_is_no_longer_logged(pool: Any) -> None:
    assert await capture.install(pool, OBJECTS) == []
    bare = {**OBJECTS, "customer": HubObject(table="hub.customers")}
    assert await capture.install(pool, bare) == []
    await capture.check_installed(pool, bare)
    with pytest.raises(Fatal, match=r"hub\.addresses \(customer insert\).*run `syncline migrate`"):
        await capture.check_installed(pool, OBJECTS)
    customer = await add_customer(pool)
    await empty_log(pool)
    await pool.execute("INSERT INTO hub.addresses (customer_id) VALUES ($1)", customer)
    assert await entries(pool) == []


@pytest.mark.parametrize(
    "damage",
    [
        "DROP SCHEMA syncline_capture CASCADE",
        'DROP TRIGGER "syncline:company:id:update" ON hub.companies',
        "ALTER TABLE hub.companies DISABLE TRIGGER USER",
    ],
)
async def test_a_capture_that_is_incomplete_is_refused(pool: Any, damage: str) -> None:
    await capture.check_installed(pool, OBJECTS)
    await pool.execute(damage)
    with pytest.raises(Fatal, match=r"not captured on hub\.companies \(company .*run `syncline migrate`"):
        await capture.check_installed(pool, OBJECTS)


async def test_a_table_or_column_that_is_missing_is_named(pool: Any) -> None:
    with pytest.raises(Fatal, match=r"there is no table hub\.nothing"):
        await describe(pool, HubObject(table="hub.nothing"))
    embed = Embed(table="hub.addresses", owner="owner", where={"sort": "x"}, columns=["city", "planet"])
    with pytest.raises(Fatal, match=r"no column nr; .*no column owner; .*no column sort; .*no column planet"):
        await capture.install(pool, {"company": HubObject(table="hub.companies", key="nr", embed={"a": embed})})


ODD = """
    CREATE SCHEMA "Odd ""schema";
    CREATE TYPE "Odd ""schema".mood AS ENUM ('glad', 'sad');
    CREATE DOMAIN "Odd ""schema".code AS varchar(5);
    CREATE TABLE "Odd ""schema"."select" (
        "Key" bigint PRIMARY KEY, "from" "Odd ""schema".code NOT NULL, price numeric(20, 4), ratio float4,
        open boolean, since date, at timestamptz, mood "Odd ""schema".mood, tags text[], made text DEFAULT 'x' NOT NULL,
        twice bigint GENERATED ALWAYS AS ("Key" * 2) STORED, doc json
    );
"""


async def test_a_table_of_any_name_and_type_can_be_captured_and_read(pool: Any) -> None:
    await pool.execute(ODD)
    odd = HubObject(table='Odd "schema.select', key="Key")
    await capture.install(pool, {"it's": odd})
    await pool.execute(
        'INSERT INTO "Odd ""schema"."select" VALUES'
        " (9, 'abc', 12.50, 0.5, true, '2026-11-20', '2026-11-20 10:00:00.1234+02', 'sad', '{a}', 'y', DEFAULT, '{}')"
    )
    assert await entries(pool) == [("it's", "9")]
    tables = await describe(pool, odd)
    query = record_query(odd, tables, set(tables.base))
    row = await pool.fetchrow(f"{query.select} WHERE {query.key} = $1::text::{query.key_type}", "9")
    assert row["key"] == "9"
    assert dict(zip(query.fields, tuple(row)[1:], strict=True)) == {
        "Key": 9,
        "from": "abc",
        "price": 12.5,
        "ratio": 0.5,
        "open": True,
        "since": "2026-11-20",
        "at": "2026-11-20T08:00:00.123Z",
        "mood": "sad",
        "tags": "{a}",
        "made": "y",
        "twice": 18,
        "doc": "{}",
    }
    facts = catalog(odd, tables)
    assert (facts["from"].length, facts["from"].required, facts["from"].type) == (5, True, "text")
    assert facts["mood"].choices == ("glad", "sad")
    assert not facts["twice"].writable
    assert not facts["made"].required
    assert (facts["price"].type, facts["at"].type, facts["open"].type) == ("number", "datetime", "boolean")


async def test_the_catalog_of_the_shipped_hub_shows_embeds_keys_and_references(pool: Any) -> None:
    facts = catalog(OBJECTS["company"], await describe(pool, OBJECTS["company"]))
    assert facts["salesforce_id"].external_id
    assert facts["parent_id"].type == "reference"
    assert facts["name"].required
    assert facts["billing.city"].writable
    assert "billing.id" not in facts


async def test_an_unknown_field_is_refused_before_anything_is_read(pool: Any) -> None:
    tables = await describe(pool, OBJECTS["company"])
    with pytest.raises(Fatal, match=r"hub\.companies has no billing\.planet, nickname"):
        record_query(OBJECTS["company"], tables, {"name", "nickname", "billing.planet"})


async def test_pruning_keeps_the_newest_row_of_every_record_and_what_is_not_read_yet(pool: Any) -> None:
    a, b = await add_company(pool, "A"), await add_company(pool, "B")
    for _ in range(3):
        await pool.execute("UPDATE hub.companies SET tier = 'x' WHERE id = $1::text::uuid", a)
    newest = await capture.versions(pool, "company", [a, b])
    horizon, _ = await capture.horizon(pool)
    middle = await pool.fetchval(
        "SELECT xid::text FROM syncline_capture.changes WHERE key = $1 ORDER BY seq OFFSET 2", a
    )
    assert await capture.prune(pool, "company", horizon, 3600) == 0
    assert await capture.prune(pool, "customer", horizon, 0) == 0
    assert await capture.prune(pool, "company", middle, 0) == 2
    assert await capture.prune(pool, "company", horizon, 0, most=1) == 1
    assert await capture.prune(pool, "company", horizon, 0) == 0
    assert sorted(await entries(pool)) == sorted([("company", a), ("company", b)])
    assert await capture.versions(pool, "company", [a, b]) == newest
