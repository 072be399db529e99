"""`syncline plan`, then `syncline replay`: what both systems say was written is what was planned, one by one."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from syncline.config.load import load
from syncline.contracts.ref import Ref
from syncline.local.demo import both
from syncline.local.demo.compare import Pairs
from syncline.local.demo.data import Sizes, make
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import PATIENCE, Story
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import TABLES, Hands, hands, pipelines, policies
from tests.e2e.written import AUDIT, Org, Wrote, everything, in_the_hub

SIZES = Sizes(accounts=40, contacts=160, orphans=4, companies=30, customers=90, matching=0)
"""Nobody is on both sides from the start: which of the two then is linked by the other depends on who comes first."""
POLLED = 4.0
"""Seconds after which an edit was captured: two whole ones behind Salesforce's clock, and the interval."""
NARROW = policies(
    account_to_company="where: {Tier__c: gold}",
    contact_to_customer="where: {Segment__c: retail}",
    customer_to_contact="where: {segment: retail}",
)
"""Leaves out records that are captured all the same, so that their children wait."""
WIDE = {
    "      fax: Fax\n": "      fax: {from: Phone, transform: [trim]}\n",
    "      description: Description\n": "      description: {static: from Salesforce}\n",
    "      Website: website\n": "      Website: website\n      Fax: {from: account_number, conflict: hub}\n",
}
"""No filter, other fields, and both sides may win. What waits is mapped as before: which of two commands for a Contact
that waits comes first is up to the moment."""


async def test_what_a_replay_writes_is_what_was_planned(
    whole: Whole, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(6)
    narrow = pipelines(tmp_path, NARROW)
    (tmp_path / "new").mkdir()
    wide = pipelines(tmp_path / "new", {**WIDE, "      Fax: fax\n": ""})
    async with whole(pipelines=narrow) as told, hands(told) as people:
        await told.fill(make(SIZES, rng=rng, now=datetime.now(UTC)))
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        await quiet(told)
        for _ in range(3):
            await edits(people, rng, 12)
            await quiet(told)
        await asyncio.gather(*(child.stop() for child in told.system.services.values()))
        told.system.services.clear()
        await drift(told, rng, 40)

        before = await everything(told)
        new = {"SYNCLINE_PIPELINES": str(wide)}
        plan = json.loads(await said(told, "plan", "--json", **new))
        compared = json.loads(await said(told, "plan", "--mapping", str(wide), "--json"))
        await in_other_words(told, tmp_path, plan, wide)
        assert await everything(told) == before

        await told.hub.execute(AUDIT)
        org, calls = await Org.look(told), (await told.stats())["calls"]
        await asyncio.gather(*(told.system.start(service, 1, pipelines=str(wide)) for service in SERVICES))
        replayed = json.loads(await said(told, "replay", "--json", **new))
        await quiet(told)
        pairs = await both.pairs(told.state)
        planned = list(writes(plan["writes"], pairs))
        after, config = await Org.look(told), load(wide, {**told.system.environ})
        fields = {
            kind: config.pipelines[name].writes | {"Hub_Id__c"}
            for kind, name in ((ACCOUNT, "company-to-account"), (CONTACT, "customer-to-contact"))
        }
        assert plan["asked_for"] == 0
        in_hub = [write for write in planned if write[0].startswith("hub/")]
        in_org = [write for write in planned if write[0].startswith("salesforce/")]
        assert differing(await in_the_hub(told), in_hub) == []
        assert differing(after.since(org, fields), Org.folded(in_org)) == []
        saves = after.saves(org)
        planned_saves = Counter(f"{each['op']}d" for each in plan["writes"] if each["target"].startswith("salesforce/"))
        assert (saves["created"], saves["deleted"]) == (planned_saves["created"], 0)
        assert saves["updated"] <= planned_saves["updated"]  # what comes back may go along with what is on its way
        assert replayed["replayed"] >= plan["changes"] > 0  # the poller reads its last seconds again
        # Of every kind there was something to see.
        assert {each["op"] for each in plan["writes"]} == {"create", "update", "keep"}
        assert {"new record", "changed", "newly mapped", "conflict", "static", "mark"} <= plan["fields"].keys()
        fields_planned = [one for each in plan["writes"] for one in each["fields"]]
        assert any(str(one["new"]).startswith("new-") and one["field"] == "company_id" for one in fields_planned)
        # The same by the records that the mapper knows: everything that was ever captured is on its topic here.
        new_alone = writes((each for one in compared["differences"] for each in one["new"]), pairs)
        assert differing(list(new_alone), planned) == []

        price, spent = plan["price"]["salesforce"], (await told.stats())["calls"]
        sent = {kind: spent[kind] - calls[kind] for kind in spent}
        record_property("planned and real calls", f"{price}, {sent}")
        assert 0 < price["writes"] <= sent["write"]


async def in_other_words(told: Story, folder: Path, plan: dict[str, Any], wide: Path) -> None:
    """The same plan for people and as a file, and a mapping that reads what was never captured."""
    people = await said(told, "plan", "--mapping", str(wide))
    assert re.search(r"price +salesforce: \d+ calls \(\d+ to read, \d+ to write\), \d", people)
    assert re.search(r"create hub/company/new-\w+ from salesforce/Account/\w+ by .* \(only the new mapping\)", people)
    assert re.search(r'  description +null -> "from Salesforce"  static\n', people)

    saved = await said(told, "plan", "--output", str(folder / "plan.csv"), SYNCLINE_PIPELINES=str(wide))
    fields = sum(len(each["fields"]) for each in plan["writes"])
    assert f"saved         {fields:,} rows in {folder / 'plan.csv'}\n" in saved
    with (folder / "plan.csv").open(newline="") as file:
        rows = Counter((row["target"], row["op"], row["field"]) for row in csv.DictReader(file))
    assert rows == Counter((w["target"], w["op"], f["field"]) for w in plan["writes"] for f in w["fields"])

    (folder / "third").mkdir()
    third = pipelines(folder / "third", {**NARROW, "      description: Description\n": "      description: Industry\n"})
    brief = json.loads(await said(told, "plan", "--mapping", str(third), "--summary", "--json"))
    [lacking] = brief["not_captured"]
    assert (lacking["object"], lacking["field"], lacking["needs"]) == (
        "salesforce/Account",
        "Industry",
        "syncline resync",
    )
    assert lacking["records"] >= SIZES.accounts
    assert set(brief["differences"].values()) == {0}


def differing(done: Sequence[Wrote], planned: Sequence[Wrote]) -> list[str]:
    """Those that are only on one of the two sides, each as often as it is."""
    unplanned, undone = Counter(done) - Counter(planned), Counter(planned) - Counter(done)
    return [*(f"not planned: {each}" for each in unplanned.elements()), *(f"not done: {e}" for e in undone.elements())]


def writes(entries: Iterable[dict[str, Any]], pairs: Pairs) -> Iterator[Wrote]:
    """As the systems tell it, with the ids that records got which were to be made."""
    listed = list(entries)
    made = {}
    for each in listed:
        if each["op"] == "create":
            target = Ref.parse(each["target"])
            made[target.kind, target.id] = pairs[Ref.parse(each["record"]), target.kind].id
    ids = {id: real for (_, id), real in made.items()}
    for each in listed:
        target = Ref.parse(each["target"])
        ref = target._replace(id=made.get((target.kind, target.id), target.id))
        for one in each["fields"]:
            if each["op"] != "keep":
                yield str(ref), each["op"], one["field"], one["old"], ids.get(one["new"], one["new"])


async def said(told: Story, *words: str, **environ: str) -> str:
    code, out, err = await syncline(told, *words, **environ)
    assert code == 0, err
    return out


def word(rng: random.Random) -> str:
    return f"{rng.choice(['one', 'two', 'three'])} {rng.randrange(1000)}"


async def edits(people: Hands, rng: random.Random, count: int) -> None:
    """Some of them to the same field of both."""
    records = await both.records(people.told.system, people.told.hub, people.told.http)
    for kind, names in ((ACCOUNT, ("Phone", "Website", "Name")), (CONTACT, ("Title", "LastName", "Phone"))):
        ids = rng.sample(sorted(records[kind]), min(count, len(records[kind])))
        await people.update(kind, *({"Id": each, rng.choice(names): word(rng)} for each in ids))
    for kind, columns in ((COMPANY, ("phone", "website", "fax")), (CUSTOMER, ("title", "last_name", "phone"))):
        for each in rng.sample(sorted(records[kind]), min(count, len(records[kind]))):
            await people.edit(kind, each, rng.choice(columns), word(rng))


async def drift(told: Story, rng: random.Random, count: int) -> None:
    """Edits that no poll sees until somebody writes the record again. Of pairs, for a parent that is not synced may be
    asked for at any time; and of records that rest, for a poll reads those of its last seconds again."""
    rest = datetime.now(UTC) - timedelta(minutes=5)
    linked = {ref.id for ref, _ in await both.pairs(told.state)}
    records = (await Org.look(told)).records
    for kind, field in ((ACCOUNT, "Phone"), (CONTACT, "Title")):
        unnamed = {"IsDeleted", "Name"} if kind == CONTACT else {"IsDeleted"}  # what a load makes by itself
        rested = {each for each, row in records[kind].items() if datetime.fromisoformat(row["SystemModstamp"]) < rest}
        ids = sorted(linked & rested)
        rows = [{**records[kind][each], field: word(rng)} for each in rng.sample(ids, min(count, len(ids)))]
        loaded = [{name: value for name, value in row.items() if name not in unnamed} for row in rows]
        async with told.http.post(f"{told.system.org_url}/simorg/load", json={kind.name: loaded}) as reply:
            assert reply.status == 200, await reply.text()
    async with told.hub.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # triggers do not fire
        for kind, column in ((COMPANY, "phone"), (CUSTOMER, "title")):
            rows = await connection.fetch(f"SELECT id FROM {TABLES[kind]} ORDER BY id")
            ids = [row["id"] for row in rows if str(row["id"]) in linked]
            for each in rng.sample(ids, min(count, len(ids))):
                await connection.execute(f"UPDATE {TABLES[kind]} SET {column} = $2 WHERE id = $1", each, word(rng))


async def quiet(told: Story) -> None:
    """Until nobody is behind, and nothing new was seen for longer than a poll takes."""
    seen, before = told.running.seen, None
    async with asyncio.timeout(PATIENCE):
        while True:
            now = (seen.outcomes.total(), seen.events.total(), seen.commands.total(), len(seen.held))
            if not any((await told.lag()).values()) and now == before:
                return
            before = now
            await asyncio.sleep(POLLED)
