"""The hub sink on a real PostgreSQL: locks, compare and set, embeds, versions, and how few statements it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from services.writer.sinks import Saved, Write, Written
from services.writer.sinks.postgres import PostgresSink, postgres_sink
from services.writer.sinks.postgres.batch import Batch
from syncline.config.model import HubObject, PostgresSystem
from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.ref import Fields
from syncline.hub import capture
from tests.conftest import FreshDatabase
from tests.contract.sink_worlds import HubWorld, hub_world


@pytest.fixture
async def hub(fresh_database: FreshDatabase) -> AsyncIterator[HubWorld]:
    async with hub_world(fresh_database) as world:
        yield world


async def add(hub: HubWorld, **values: Any) -> str:
    (saved,) = await hub.sink.write("company", [Write(None, {"name": "Acme", **values})])
    assert isinstance(saved, Saved)
    return saved.id


async def company(hub: HubWorld, record: str, *fields: str) -> Fields:
    return (await hub.sink.read("company", [record], fields))[record].values


@asynccontextmanager
async def captured(hub: HubWorld, table: str, **described: Any) -> AsyncIterator[PostgresSink]:
    """A sink of one more object, `thing`, whose table a test made."""
    objects = {"thing": HubObject(table=table, **described)}
    await capture.install(hub.pool, objects)
    async with postgres_sink(PostgresSystem(kind="postgres", url=SecretStr(hub.url), objects=objects)) as sink:
        yield sink


def kinds(outcomes: Sequence[Written]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


async def waits_for_a_lock(hub: HubWorld) -> None:
    while not await hub.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        await asyncio.sleep(0)


async def test_a_row_that_no_longer_holds_what_was_read_is_left_for_another_plan(hub: HubWorld) -> None:
    one, two = await add(hub, phone="1", tier=None), await add(hub, phone="1")
    outcomes = await hub.sink.write(
        "company",
        [
            Write(one, {"phone": "2"}, expected={"phone": "0"}),
            Write(two, {"phone": "2"}, expected={"phone": "1", "tier": None}),
        ],
    )
    assert kinds(outcomes) == ["Transient", "Saved"]
    assert [(await company(hub, each, "phone"))["phone"] for each in (one, two)] == ["1", "2"]


async def test_an_edit_that_commits_while_the_write_waits_is_not_overwritten(hub: HubWorld) -> None:
    one = await add(hub, phone="1")
    async with hub.pool.acquire() as person:
        async with person.transaction():
            await person.execute("UPDATE hub.companies SET phone = 'hers' WHERE id = $1::text::uuid", one)
            writing = asyncio.create_task(
                hub.sink.write("company", [Write(one, {"phone": "ours"}, expected={"phone": "1"})])
            )
            await waits_for_a_lock(hub)
        assert kinds(await writing) == ["Transient"]
    assert await company(hub, one, "phone") == {"phone": "hers"}


async def test_a_row_that_is_gone_is_left_for_another_plan(hub: HubWorld) -> None:
    outcomes = await hub.sink.write("company", [Write(hub.nowhere, {"phone": "1"}), Write("no uuid", {"phone": "1"})])
    assert kinds(outcomes) == ["Transient", "Transient"]


async def test_batches_that_meet_in_opposite_order_wait_and_do_not_deadlock(hub: HubWorld) -> None:
    ids = [await add(hub, **{"billing.city": "Oslo"}) for _ in range(30)]
    fields: Fields = {"phone": "1", "billing.city": "Bergen"}
    both = await asyncio.gather(
        *(hub.sink.write("company", [Write(each, fields) for each in order]) for order in (ids, ids[::-1]) * 2)
    )
    assert all(isinstance(outcome, Saved) for outcomes in both for outcome in outcomes)


async def test_an_embed_is_made_patched_and_cleared_with_its_owner(hub: HubWorld) -> None:
    one = await add(hub, **{"billing.street": "A 1", "billing.city": "Oslo"})
    two = await add(hub)
    await hub.sink.write(
        "company",
        [
            Write(one, {"billing.city": None, "shipping.city": "Bergen", "phone": "1"}),
            Write(two, {"billing.country": "NO", "shipping.street": None}),
        ],
    )
    fields = ["billing.street", "billing.city", "billing.country", "shipping.city", "phone"]
    assert await company(hub, one, *fields) == {
        "billing.street": "A 1",
        "billing.city": None,
        "billing.country": None,
        "shipping.city": "Bergen",
        "phone": "1",
    }
    assert (await company(hub, two, *fields))["billing.country"] == "NO"
    assert await hub.pool.fetchval("SELECT count(*) FROM hub.addresses") == 3, "nothing but empty values makes no row"


async def test_an_embed_takes_part_in_compare_and_set(hub: HubWorld) -> None:
    one = await add(hub, **{"billing.city": "Oslo"})
    await hub.pool.execute("UPDATE hub.addresses SET city = 'hers'")
    write = Write(one, {"billing.city": "ours"}, expected={"billing.city": "Oslo"})
    assert kinds(await hub.sink.write("company", [write])) == ["Transient"]
    assert await company(hub, one, "billing.city") == {"billing.city": "hers"}


async def test_an_edit_of_an_embed_that_commits_while_the_write_waits_is_not_overwritten(hub: HubWorld) -> None:
    one = await add(hub, **{"billing.city": "Oslo"})
    async with hub.pool.acquire() as person:
        async with person.transaction():
            await person.execute("UPDATE hub.addresses SET city = 'hers'")
            write = Write(one, {"billing.city": "ours"}, expected={"billing.city": "Oslo"})
            writing = asyncio.create_task(hub.sink.write("company", [write]))
            await waits_for_a_lock(hub)
        assert kinds(await writing) == ["Transient"]
    assert await company(hub, one, "billing.city") == {"billing.city": "hers"}


async def test_a_new_embed_of_a_new_row_and_its_neighbour_s_fault_are_kept_apart(hub: HubWorld) -> None:
    outcomes = await hub.sink.write(
        "company",
        [
            Write(None, {"name": "A", "billing.city": "Oslo"}, ("salesforce_id", "1")),
            Write(None, {"name": None, "billing.city": "Bergen"}, ("salesforce_id", "2")),
        ],
    )
    assert kinds(outcomes) == ["Saved", "RecordRejected"]
    assert await hub.pool.fetchval("SELECT array_agg(city) FROM hub.addresses") == ["Oslo"]


async def test_the_version_is_the_one_that_the_change_log_gave_this_write(hub: HubWorld) -> None:
    one, two = await add(hub), await add(hub)
    saved = await hub.sink.write(
        "company", [Write(one, {"phone": "1"}), Write(two, {"billing.city": "Oslo"}), Write(None, {"name": "New"})]
    )
    for outcome in saved:
        assert isinstance(outcome, Saved)
        row = await hub.pool.fetchrow(
            "SELECT seq, origin FROM syncline_capture.changes WHERE object = 'company' AND key = $1"
            " ORDER BY seq DESC LIMIT 1",
            outcome.id,
        )
        assert (outcome.version, row["origin"]) == (f"{row['seq']:020d}", "syncline-writer")
        found = await hub.sink.read("company", [outcome.id], ["name"])
        assert found[outcome.id].version == outcome.version


async def test_a_record_that_was_never_logged_has_the_lowest_version(hub: HubWorld) -> None:
    one = await add(hub)
    await hub.pool.execute("TRUNCATE syncline_capture.changes")
    assert (await hub.sink.read("company", [one], []))[one].version == "0" * 20


async def test_one_statement_a_kind_whatever_the_field_sets(hub: HubWorld) -> None:
    ids = [await add(hub) for _ in range(40)]
    hub.sink.calls.clear()
    fields = ["phone", "tier", "website", "fax"]
    writes = [Write(each, {fields[n % 4]: "x", fields[n // 4 % 4]: "x"}) for n, each in enumerate(ids)]
    writes += [Write(None, {"name": "N", fields[n % 4]: "x"}, ("salesforce_id", str(n))) for n in range(40)]
    assert kinds(await hub.sink.write("company", writes)) == ["Saved"] * 80
    assert hub.sink.calls == {"update": 1, "create": 1}
    assert (hub.sink.rows["update"], hub.sink.rows["create"]) == (40, 80)


async def test_a_bad_row_costs_statements_by_the_logarithm_and_no_neighbour(hub: HubWorld) -> None:
    ids = [await add(hub) for _ in range(256)]
    hub.sink.calls.clear()
    writes = [Write(each, {"name": None} if n == 77 else {"phone": "1"}) for n, each in enumerate(ids)]
    outcomes = await hub.sink.write("company", writes)
    assert kinds(outcomes) == ["Saved"] * 77 + ["RecordRejected"] + ["Saved"] * 178
    assert hub.sink.calls["update"] == 1 + 2 * 8


async def test_a_row_of_which_nothing_is_known_is_not_made_twice_by_two_writers(hub: HubWorld) -> None:
    writes = [Write(None, {"name": f"N {n}"}, ("salesforce_id", str(n))) for n in range(20)]
    first, second = await asyncio.gather(hub.sink.write("company", writes), hub.sink.write("company", writes[::-1]))
    assert [each.id for each in first if isinstance(each, Saved)] == [
        each.id for each in reversed(second) if isinstance(each, Saved)
    ]
    assert await hub.pool.fetchval("SELECT count(*) FROM hub.companies") == 20


ODD = """
CREATE TYPE hub.size AS ENUM ('small', 'large');
CREATE TABLE hub.odd (
    number   bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    "Sf'Id"  text,
    code     varchar(4),
    level    smallint NOT NULL DEFAULT 3 CHECK (level < 10),
    price    numeric(10,2),
    ratio    real,
    day      date,
    at       timestamptz,
    open     boolean NOT NULL DEFAULT true,
    size     hub.size,
    note     text DEFAULT 'none',
    label    text NOT NULL DEFAULT 'a ''label''',
    twice    smallint GENERATED ALWAYS AS (level * 2) STORED,
    partner  bigint REFERENCES hub.odd DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX ON hub.odd ("Sf'Id") WHERE "Sf'Id" IS NOT NULL;
"""


async def test_every_type_of_column_reads_as_canonical_foretold(hub: HubWorld) -> None:
    await hub.pool.execute(ODD)
    given: Fields = {
        "code": "ab",
        "level": 4.0,
        "price": "12.345",
        "ratio": 0.1,
        "day": "2026-11-20T23:00:00.000+0000",
        "at": "2026-11-20T11:00:00.123456+01:00",
        "open": "no",
        "size": "large",
        "label": 7,
    }
    async with captured(hub, "hub.odd", key="number") as sink:
        told = sink.canonical("thing", given)
        (saved,) = await sink.write("thing", [Write(None, told, ("Sf'Id", "x"))])
        assert isinstance(saved, Saved)
        assert (await sink.read("thing", [saved.id], list(given)))[saved.id].values == told
        for rule in given.keys() - {"ratio"}:  # a `real` has no exact text, it is no field to match by
            assert [len(found) for found in await sink.match("thing", (rule,), [(told[rule],)], [])] == [1]
        assert kinds(await sink.write("thing", [Write(saved.id, {"level": 5}, expected=told)])) == ["Saved"]


async def test_what_a_create_does_not_name_takes_its_default_whatever_its_neighbours_name(hub: HubWorld) -> None:
    await hub.pool.execute(ODD)
    async with captured(hub, "hub.odd", key="number") as sink:
        outcomes = await sink.write(
            "thing",
            [
                Write(None, {"level": 1}, ("Sf'Id", "a")),
                Write(None, {"label": "x", "open": False, "note": None}, ("Sf'Id", "b")),
                Write(None, {"code": "c"}),
                Write(None, {}),
            ],
        )
        assert kinds(outcomes) == ["Saved"] * 4
        rows = await hub.pool.fetch("SELECT level, label, open, note, code FROM hub.odd")
        label = "a 'label'"
        assert {tuple(row) for row in rows} == {
            (1, label, True, "none", None),
            (3, "x", False, None, None),
            (3, label, True, "none", "c"),
            (3, label, True, "none", None),
        }
        assert sink.calls == {"create": 2}, "one with keys, one without, neither tried again by halves"


async def test_every_kind_of_fault_names_code_fields_and_remedy(hub: HubWorld) -> None:
    await hub.pool.execute(ODD)
    async with captured(hub, "hub.odd", key="number") as sink:
        saved = await sink.write("thing", [Write(None, {}, ("Sf'Id", str(n))) for n in range(9)])
        ids = [outcome.id for outcome in saved if isinstance(outcome, Saved)]
        faults: list[tuple[Fields, str, tuple[str, ...]]] = [
            ({"code": "abcde", "level": 1}, "string_data_right_truncation", ("code",)),
            ({"level": "many"}, "invalid_text_representation", ("level",)),
            ({"level": 12}, "check_violation", ("level",)),
            ({"price": 1e12}, "numeric_value_out_of_range", ("price",)),
            ({"size": "huge"}, "invalid_text_representation", ("size",)),
            ({"partner": 99}, "foreign_key_violation", ("partner",)),
            ({"Sf'Id": "8"}, "unique_violation", ("Sf'Id",)),
            ({"label": "\u0000", "code": "x"}, "untranslatable_character", ("label",)),
        ]
        patches: list[Fields] = [*(patch for patch, *_ in faults), {"code": "good"}]
        writes = [Write(each, patch) for each, patch in zip(ids, patches, strict=True)]
        outcomes = await sink.write("thing", writes)
        assert isinstance(outcomes[-1], Saved)
        told = [(each.code, each.fields) for each in outcomes if isinstance(each, RecordRejected) and each.remedy]
        assert told == [(code, fields) for _, code, fields in faults]


async def test_a_table_whose_trigger_swallows_a_row_rejects_it(hub: HubWorld) -> None:
    await hub.pool.execute(
        "CREATE FUNCTION hub.swallow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.name = 'bad' THEN RETURN NULL; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER swallow BEFORE INSERT ON hub.companies FOR EACH ROW EXECUTE FUNCTION hub.swallow()"
    )
    writes = [Write(None, {"name": name}) for name in ("a", "bad", "b")]
    writes += [Write(None, {"name": name}, ("salesforce_id", name)) for name in ("bad", "c")]
    outcomes = await hub.sink.write("company", writes)
    assert kinds(outcomes) == ["Saved", "RecordRejected", "Saved", "RecordRejected", "Saved"]


async def deleted(hub: HubWorld, *companies: str) -> dict[str, str]:
    """Those that stay, and the code that says why."""
    outcomes = await hub.sink.delete("company", companies)
    pairs = zip(companies, outcomes, strict=True)
    return {each: outcome.code for each, outcome in pairs if isinstance(outcome, RecordRejected)}


async def test_a_deferred_foreign_key_keeps_its_row_and_not_the_whole_batch(hub: HubWorld) -> None:
    await hub.pool.execute(
        "CREATE TABLE hub.orders (company_id uuid REFERENCES hub.companies DEFERRABLE INITIALLY DEFERRED)"
    )
    kept, gone = await add(hub), await add(hub)
    await hub.pool.execute("INSERT INTO hub.orders VALUES ($1::text::uuid)", kept)
    assert await deleted(hub, kept, gone) == {kept: "foreign_key_violation"}
    assert set(await hub.sink.read("company", [kept, gone], ["name"])) == {kept}


@pytest.mark.parametrize("action", ["RESTRICT", "SET NULL"])
async def test_whatever_a_foreign_key_does_the_code_says_that_others_refer_to_the_row(
    hub: HubWorld, action: str
) -> None:
    await hub.pool.execute(
        f"CREATE TABLE hub.orders (company_id uuid NOT NULL REFERENCES hub.companies ON DELETE {action})"
    )
    kept = await add(hub)
    await hub.pool.execute("INSERT INTO hub.orders VALUES ($1::text::uuid)", kept)
    assert await deleted(hub, kept) == {kept: "foreign_key_violation"}


async def test_a_row_that_the_table_s_own_trigger_protects_stays_and_its_neighbour_goes(hub: HubWorld) -> None:
    await hub.pool.execute(
        "CREATE FUNCTION hub.protect() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF OLD.tier = 'gold' THEN RAISE 'gold stays'; END IF; RETURN OLD; END $$;"
        "CREATE TRIGGER protect BEFORE DELETE ON hub.companies FOR EACH ROW EXECUTE FUNCTION hub.protect()"
    )
    gold, silver = await add(hub, tier="gold"), await add(hub, tier="silver")
    assert await deleted(hub, gold, silver) == {gold: "raise"}
    assert set(await hub.sink.read("company", [gold, silver], ["name"])) == {gold}


async def test_companies_that_refer_to_each_other_go_together(hub: HubWorld) -> None:
    top = await add(hub)
    below = await add(hub, parent_id=top)
    assert await deleted(hub, top, below) == {}


async def test_a_connection_that_is_lost_midway_is_transient_and_leaves_nothing_behind(
    hub: HubWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await add(hub, phone="1")
    attempt = Batch._attempt

    async def cut(self: Batch, rows: Any) -> None:
        await attempt(self, rows)
        own = await self.connection.fetchval("SELECT pg_backend_pid()")
        await hub.pool.execute("SELECT pg_terminate_backend($1)", own)
        await self.connection.execute("SELECT 1")

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "_attempt", cut)
        with pytest.raises(Transient):
            await hub.sink.write("company", [Write(one, {"phone": "2"}), Write(None, {"name": "New"})])
    assert await hub.pool.fetch("SELECT phone FROM hub.companies") == [("1",)]
    assert kinds(await hub.sink.write("company", [Write(one, {"phone": "2"})])) == ["Saved"]


async def test_a_table_that_is_missing_stops_the_start_and_says_which(hub: HubWorld) -> None:
    with pytest.raises(Fatal, match=r"hub\.nothing"):
        async with captured(hub, "hub.nothing"):
            pass
