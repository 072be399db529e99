"""Rows that were changed behind Syncline's back: all of them are found, put right, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from syncline.contracts.ref import Object, Ref
from syncline.local.demo import both
from syncline.local.demo.data import Data, Row, Sizes, make
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.system import PIPELINES, SERVICES
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import TABLES, account, contact, hands, pipelines, policies, stamp

SIZES = Sizes(accounts=120, contacts=260, orphans=0, companies=60, customers=220)
IN_SALESFORCE = {ACCOUNT: ("Description", 60), CONTACT: ("Title", 190)}
IN_THE_HUB = {COMPANY: ("website", 50), CUSTOMER: ("title", 180)}
MADE = 20
"""Customers that were inserted; with the rows that were changed, 500 over both sides."""
NEVER_COPIED = {"IsDeleted", "Name"}


async def verified(told: Story, *words: str) -> tuple[int, dict[str, Any]]:
    code, out, err = await syncline(told, "verify", "--json", "--wait", "60", *words)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return code, found


async def in_salesforce(told: Story, kind: Object) -> dict[str, Row]:
    async with told.http.get(f"{told.system.org_url}/simorg/records/{kind.name}") as reply:
        return {row["Id"]: row for row in (await reply.json())["records"]}


async def change_in_salesforce(told: Story, kind: Object, ids: list[str], field: str) -> None:
    """As a restore of some records would: the stamp stays as it was."""
    rows = await in_salesforce(told, kind)
    unnamed = NEVER_COPIED if kind == CONTACT else {"IsDeleted"}
    changed = [
        {**{name: value for name, value in rows[each].items() if name not in unnamed}, field: "changed unseen"}
        for each in ids
    ]
    async with told.http.post(f"{told.system.org_url}/simorg/load", json={kind.name: changed}) as reply:
        assert reply.status == 200, await reply.text()


def rested(row: Row) -> bool:
    changed = datetime.fromisoformat(str(row["SystemModstamp"]))
    return changed < datetime.now(UTC) - timedelta(minutes=1)


async def change_in_the_hub(told: Story, kind: Object, ids: list[str], field: str) -> None:
    async with told.hub.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no trigger fires
        statement = f"UPDATE {TABLES[kind]} SET {field} = 'changed unseen' WHERE id = ANY($1::text[]::uuid[])"
        await connection.execute(statement, ids)


async def insert_into_the_hub(told: Story, company: str) -> set[Ref]:
    async with told.hub.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        rows = [(UUID(int=n), UUID(company), f"Unseen {n}", f"unseen{n}@mail.example") for n in range(1, MADE + 1)]
        await connection.executemany(
            "INSERT INTO hub.customers (id, company_id, last_name, email) VALUES ($1, $2, $3, $4)", rows
        )
    return {Ref(*CUSTOMER, str(row[0])) for row in rows}


async def behind_its_back(told: Story, rng: random.Random) -> set[Ref]:
    """No two changes are of one pair. Returns the records."""
    pairs = await both.pairs(told.state)
    changed: set[Ref] = set()
    for kind, other, (field, count) in [
        *((kind, {ACCOUNT: COMPANY, CONTACT: CUSTOMER}[kind], each) for kind, each in IN_SALESFORCE.items()),
        *((kind, {COMPANY: ACCOUNT, CUSTOMER: CONTACT}[kind], each) for kind, each in IN_THE_HUB.items()),
    ]:
        free = sorted(ref for ref, to in pairs if ref.kind == kind and to == other and pairs[ref, to] not in changed)
        if kind.system == "salesforce":  # the poller reads the newest again and again, and would see it
            rows = await in_salesforce(told, kind)
            free = [ref for ref in free if rested(rows[ref.id])]
        chosen = rng.sample(free, count)
        change = change_in_salesforce if kind.system == "salesforce" else change_in_the_hub
        await change(told, kind, [ref.id for ref in chosen], field)
        changed |= set(chosen)
    company = min(ref for ref, _ in pairs if ref.kind == COMPANY)
    return changed | await insert_into_the_hub(told, company.id)


def records(differences: list[dict[str, Any]]) -> list[Ref]:
    return sorted(Ref.parse(each["source"]) for each in differences)


async def running(told: Story, data: Data) -> None:
    await told.fill(data)
    await asyncio.gather(*(told.system.start(service) for service in SERVICES))
    assert (await told.settled()).equal


async def test_five_hundred_rows_changed_unseen_are_found_and_put_right(whole: Whole, record_property: Any) -> None:
    rng = random.Random(4)
    async with whole() as told:
        await running(told, make(SIZES, rng=rng, now=datetime.now(UTC)))
        code, found = await verified(told)
        assert (code, found["equal"], found["differences"]) == (0, True, [])
        calls = found["calls"]["salesforce"]["all"]

        changed = sorted(await behind_its_back(told, rng))
        assert len(changed) == 500
        code, found = await verified(told)
        assert code == 1
        assert found["counts"] == {**dict.fromkeys(found["counts"], 0), "drift": 500}
        assert records(found["differences"]) == changed

        before = (await told.stats())["rows"]
        code, found = await verified(told, "--repair")
        assert (code, found["differences"]) == (0, [])
        assert records(found["repaired"]) == changed
        after = (await told.stats())["rows"]
        in_the_hub = sum(count for _, count in IN_THE_HUB.values())
        assert (after["created"] - before["created"], after["updated"] - before["updated"]) == (MADE, in_the_hub)
        record_property("verify: calls when equal", calls)
        record_property("verify: calls to find and repair 500 rows", found["calls"]["salesforce"]["all"])
        assert (await told.settled()).equal
        code, found = await verified(told)
        assert (code, found["equal"]) == (0, True)
        assert {each["buckets_differing"] for each in found["pairs"].values()} == {0}


async def arrived(told: Story, edit: int, customer: str, contact: str) -> bool:
    statement = "SELECT title FROM hub.customers WHERE id = $1::text::uuid"
    title = await told.hub.fetchval(statement, customer)
    return title == f"Edit {edit}" and (await in_salesforce(told, CONTACT))[contact].get("Phone") == f"{edit}"


async def test_what_people_change_meanwhile_is_no_drift(whole: Whole) -> None:
    rng = random.Random(5)
    async with whole() as told, hands(told) as people:
        await running(told, make(Sizes(60, 150, 0, 20, 50), rng=rng, now=datetime.now(UTC)))
        pairs = await both.pairs(told.state)
        contacts = sorted(ref.id for ref, kind in pairs if ref.kind == CONTACT and kind == CUSTOMER)
        customers = sorted(ref.id for ref, kind in pairs if ref.kind == CUSTOMER and kind == CONTACT)
        unseen = [each for each in customers if rng.random() < 0.05]
        untouched = [each for each in customers if each not in unseen]
        # What Salesforce's people change is written to the hub, and there captured with all else in the row.
        contacts = [each for each in contacts if pairs[Ref(*CONTACT, each), CUSTOMER].id in untouched]
        done = asyncio.Event()

        async def edit() -> int:
            edits = 0
            while not done.is_set():
                edits += 1
                titled, phoned = rng.choice(contacts), rng.choice(untouched)
                await people.update(CONTACT, {"Id": titled, "Title": f"Edit {edits}"})
                await people.edit(CUSTOMER, phoned, "phone", f"{edits}")
                customer, called = pairs[Ref(*CONTACT, titled), CUSTOMER].id, pairs[Ref(*CUSTOMER, phoned), CONTACT].id
                while not await arrived(told, edits, customer, called):
                    await asyncio.sleep(0.1)
            return edits

        editing = asyncio.create_task(edit())
        for _ in range(2):
            _, found = await verified(told)
            assert {each["reason"] for each in found["differences"]} <= {"in flight", "conflict"}
        await change_in_the_hub(told, CUSTOMER, unseen, "segment")
        _, found = await verified(told, "--repair")
        assert records(found["repaired"]) == sorted(Ref(*CUSTOMER, each) for each in unseen)
        done.set()
        assert await editing >= 3
        assert (await told.settled()).equal
        assert (await verified(told))[1]["equal"]


async def test_deletions_that_nobody_saw_are_followed_by_the_policy(whole: Whole, tmp_path: Path) -> None:
    lines = dict.fromkeys(("contact_to_customer", "customer_to_contact"), "on_delete: delete")
    contacts = [contact(n, 1, **stamp(days_ago=1 / n)) for n in range(1, 5)]  # the newest would be read again and again
    data = Data({"Account": [account(1)], "Contact": contacts}, {})
    async with whole(pipelines=pipelines(tmp_path, policies(**lines))) as told, hands(told) as people:
        await running(told, data)
        kept, removed = [await people.id(CUSTOMER, f"c{n}@mail.example") for n in (1, 3)]
        rows = await in_salesforce(told, CONTACT)
        row = {name: held for name, held in rows[str(contact(2, 1)["Id"])].items() if name not in NEVER_COPIED}
        await people.load(CONTACT, {**row, "deleted": True})
        async with told.hub.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("DELETE FROM hub.customers WHERE id = $1::text::uuid", removed)

        code, found = await verified(told)
        gone = sorted([Ref(*CONTACT, str(contact(2, 1)["Id"])), Ref(*CUSTOMER, removed)])
        assert (code, records(found["differences"])) == (1, gone)
        assert {(each["what"], each["reason"]) for each in found["differences"]} == {("gone", "drift")}
        code, found = await verified(told, "--repair")
        assert (code, records(found["repaired"])) == (0, gone)
        await people.sees((CUSTOMER, "c2@mail.example", None), (CONTACT, "c3@mail.example", None))
        assert await people.id(CUSTOMER, "c1@mail.example") == kept


ONE_WAY = """
      segment: {static: retail}
      phone: {from: Phone, conflict: hub}
"""


def one_way(folder: Path) -> Path:
    """From Salesforce alone."""
    document = yaml.safe_load(PIPELINES.read_text())
    for name in ("company-to-account", "customer-to-contact"):
        del document["pipelines"][name]
    document["pipelines"]["contact-to-customer"]["fields"] |= yaml.safe_load(ONE_WAY)
    path = folder / "pipelines.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


async def test_every_difference_has_its_reason_where_nobody_reads_the_target(whole: Whole, tmp_path: Path) -> None:
    people_of = {
        n: contact(n, 1, Title="Buyer", Phone="1", Department="Sales", **stamp(days_ago=1)) for n in range(1, 7)
    }
    data = Data({"Account": [account(1, **stamp(days_ago=1))], "Contact": list(people_of.values())}, {})
    async with whole(pipelines=one_way(tmp_path)) as told, hands(told) as people:
        await running(told, data)
        ids = {n: await people.id(CUSTOMER, f"c{n}@mail.example") for n in people_of}
        for n, column in ((1, "title"), (2, "segment"), (3, "phone")):
            await change_in_the_hub(told, CUSTOMER, [ids[n]], column)
        await people.edit(CUSTOMER, ids[4], "title", "typed openly")
        await people.remove((CUSTOMER, [{"id": UUID(ids[5])}]))
        code, found = await verified(told)
        drifted = {people_of[1]["Id"]: "title", people_of[2]["Id"]: "segment", people_of[3]["Id"]: "phone"}
        drifted |= {people_of[4]["Id"]: "title"}
        assert code == 1
        assert {Ref.parse(each["source"]).id: each["field"] for each in found["differences"]} == drifted
        assert found["counts"]["drift"] == 4
        assert (
            sum(found["objects"]["salesforce/Contact"]["left_out"].values())
            + sum(found["objects"]["hub/customer"]["left_out"].values())
            == 1
        )

        _, found = await verified(told, "--repair")
        await people.sees(
            *((CUSTOMER, f"c{n}@mail.example", {"title": "Buyer", "segment": "retail"}) for n in (1, 2, 4)),
            (CUSTOMER, "c3@mail.example", {"phone": "changed unseen"}),
        )
        assert sorted(each["field"] for each in found["repaired"]) == ["segment", "title", "title"]
        [left] = found["differences"]
        assert (left["reason"], left["field"]) == ("conflict", "phone")

        await told.hub.execute("ALTER TABLE hub.companies ADD CONSTRAINT wary CHECK (name <> 'Acme')")
        await people.load(ACCOUNT, account(2, Name="Acme"))
        await people.load(CONTACT, contact(8, 2))
        seen = told.running.seen
        await told.until(lambda: bool(seen.letters) and bool(seen.held), "the refusal, and the one who waits")
        _, found = await verified(told)
        reasons = {Ref.parse(each["source"]).id: (each["what"], each["reason"]) for each in found["differences"]}
        assert reasons == {
            people_of[3]["Id"]: ("field", "conflict"),
            account(2)["Id"]: ("missing", "rejected"),
            contact(8, 2)["Id"]: ("missing", "held"),
        }
