"""Both systems are masters: whatever people type on both sides while services die and Salesforce fails, both end up
equal, nobody is there twice, and what lost to another's edit is among the conflicts."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from syncline.contracts.ref import Object, Ref, Value
from syncline.local.demo import both
from syncline.local.demo.compare import Pairs, Records
from syncline.local.demo.data import Sizes, make
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.system import SERVICES
from syncline.runtime.waiting import pause
from tests.e2e.conftest import Whole, stories
from tests.e2e.masters import Edit, Masters, masters
from tests.e2e.people import folded, put_faults

FAULTS = {
    "error_html": 0.02,
    "error_json": 0.02,
    "throttle": 0.02,
    "expire_session": 0.02,
    "drop_after": 0.04,
    "lock_request": 0.02,
    "lock_row": 0.02,
}
LATENCY = "0.05"
REST = 0.5
"""Seconds between two rounds of edits."""
UNSEEN = 1.0
"""Seconds for which nobody can have seen an edit in Salesforce: the poll stays two whole seconds behind its clock."""

Record = Callable[[str, object], None]
Told = set[tuple[Ref, str, Value]]
"""Salesforce's record, its field, and a value that a recorded conflict shows on either side."""


@dataclass(frozen=True)
class Size:
    """waves: so often is each service killed. round: fields that are edited on each side in a round."""

    sizes: Sizes
    edits: int
    waves: int
    round: int


SMALL = Size(Sizes(accounts=40, contacts=160, orphans=4, companies=30, customers=90), edits=300, waves=1, round=25)
FULL = Size(Sizes(accounts=120, contacts=500, orphans=10, companies=80, customers=300), edits=5_000, waves=4, round=40)


async def test_edits_on_both_sides_survive(whole: Whole, record_property: Record) -> None:
    record_property("two masters", await run(whole, SMALL, seed=1))


@pytest.mark.soak
async def test_thousands_of_edits_on_both_sides_survive(
    whole: Whole, record_property: Callable[[str, object], None]
) -> None:
    record_property("two masters", await run(whole, FULL, seed=2))


async def run(whole: Whole, size: Size, seed: int) -> str:
    """One line that sums it up."""
    began = time.monotonic()
    rng = random.Random(f"two masters {seed}")
    async with whole(org=("--seed", str(seed), "--latency", LATENCY)) as told, masters(told, seed) as people:
        await told.fill(make(size.sizes, rng=rng, now=datetime.now(UTC)))
        await people.look()
        await put_faults(told, FAULTS)
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        killed = asyncio.Event()
        editing = asyncio.create_task(edit(people, size, killed))
        try:
            kills = await kill(told, editing, size.waves, rng)
            killed.set()
            await editing
        finally:
            editing.cancel()
        await put_faults(told, {})
        await told.settled()
        contested = await check(told, people)
        stats = await told.stats()
        conflicts = await told.state.fetchval("SELECT count(*) FROM syncline.conflicts")
        calls = sum(stats["calls"].values()) - people.client.calls.total()
        faults, took = sum(stats["faults"].values()), time.monotonic() - began
        return (
            f"{people.edits} edits ({contested} fields typed on both sides at once), "
            f"{conflicts} conflicts, {kills} kills, {faults} faults, {calls} API calls, {took:.0f} s"
        )


async def edit(people: Masters, size: Size, killed: asyncio.Event) -> None:
    """Until all are made and nobody is killed any more."""
    never = asyncio.Event()
    while people.edits < size.edits or not killed.is_set():
        await people.round(size.round)
        await pause(REST, never)


async def kill(told: Story, editing: asyncio.Task[None], waves: int, rng: random.Random) -> int:
    """Each service once a wave, alone or together with others, after some of the flow or right after the one before."""
    kills = 0
    for _ in range(waves):
        victims = rng.sample(SERVICES, len(SERVICES))
        while victims:
            together = [victims.pop() for _ in range(rng.randint(1, len(victims)))]
            await flowed(told, editing, rng.choice([0, 100, 300, 600]))
            children = [told.system.services[f"{each}-0"] for each in together]
            assert await asyncio.gather(*(child.kill() for child in children)) == [-9] * len(children)
            await asyncio.gather(*(child.start() for child in children))
            kills += len(children)
    await flowed(told, editing, 300)
    return kills


async def flowed(told: Story, editing: asyncio.Task[None], more: int) -> None:
    """Until so many more messages went over the topics."""

    def total() -> int:
        if editing.done():
            editing.result()
        seen = told.running.seen
        return seen.events.total() + seen.commands.total() + seen.outcomes.total()

    expected = total() + more
    await told.until(lambda: total() >= expected, f"{more} messages")


async def check(told: Story, people: Masters) -> int:
    """Once both sides are equal. Returns how many fields were typed on both sides without seeing the other's value."""
    seen = told.running.seen
    assert (seen.held, seen.letters) == (set(), [])
    assert set(seen.skipped) <= {"it has no AccountId", "a newer version was applied"}
    assert await told.state.fetchval("SELECT count(*) FROM syncline.links WHERE paused OR ended IS NOT NULL") == 0

    records, pairs = await both.records(told.system, told.hub, told.http), await both.pairs(told.state)
    for ours, theirs, name, called in (
        (ACCOUNT, COMPANY, "AccountNumber", "account_number"),
        (CONTACT, CUSTOMER, "Email", "email"),
    ):
        alone = [row for row in records[ours].values() if ours == CONTACT and not row.get("AccountId")]
        there = Counter(folded(row, called) for row in records[theirs].values())
        assert Counter(folded(row, name) for row in records[ours].values()) == there + Counter(
            folded(row, name) for row in alone
        )
        assert not [each for each, count in there.items() if count > 1]
        assert sum(kind == theirs for _, kind in pairs) == len(records[theirs])
    complaints, contested = fates(people, records, pairs, await recorded(told, people, pairs))
    assert not complaints, "\n".join([*complaints.values(), await stories(told, complaints)])
    return contested


def fates(people: Masters, records: Records, pairs: Pairs, told: Told) -> tuple[dict[str, str], int]:
    """What became of each field's last edits: those that disappeared, by record; and how many were made unseen."""
    complaints: dict[str, str] = {}
    contested = 0
    for (ref, kind), there in pairs.items():
        if kind not in (COMPANY, CUSTOMER):
            continue
        for ours, theirs in people.fields[ref.kind].items():
            end = records[ref.kind][ref.id].get(ours)
            here, other = people.typed.get((ref, ours)), people.typed.get((there, theirs))
            typed = [(shown(pairs, ours, each.value), each) for each in (here, other) if each]
            lost = [value for value, _ in typed if value != end and (ref, ours, value) not in told]
            ever = [shown(pairs, ours, each) for place in ((ref, ours), (there, theirs)) for each in people.ever[place]]
            if end not in (ever or [None]):
                complaints[ref.id] = f"{ref}.{ours} ended as {end!r}, which nobody typed: {typed}"
            elif lost and end not in [value for value, _ in typed]:
                complaints[ref.id] = f"{ref}.{ours} ended as {end!r}, later edits are no conflicts: {typed}"
            elif here and other and unseen(here, other):
                contested += typed[0][0] != typed[1][0]
                if lost:
                    complaints[ref.id] = f"{ref}.{ours} ended as {end!r}, the other is no conflict: {typed}"
            elif typed:
                last = max((edit for _, edit in typed), key=lambda edit: edit.ended)
                newest = [value for value, edit in typed if edit.ended >= last.began]
                if end not in newest and set(newest) & set(lost):
                    complaints[ref.id] = f"{ref}.{ours} ended as {end!r}, the last edit is no conflict: {typed}"
    return complaints, contested


def unseen(here: Edit, there: Edit) -> bool:
    """The one in Salesforce came first, and whoever typed in the hub cannot have seen it."""
    return here.ended <= there.began and there.ended < here.began + UNSEEN


async def recorded(told: Story, people: Masters, pairs: Pairs) -> Told:
    found: Told = set()
    for row in await told.state.fetch("SELECT source, target, field, incoming, present FROM syncline.conflicts"):
        sides = sorted((Ref.parse(row["source"]), Ref.parse(row["target"])), key=lambda ref: ref.system)
        ref, names = sides[1], people.fields[sides[1].kind]
        called = {**{theirs: ours for ours, theirs in names.items()}, **{ours: ours for ours in names}}
        for value in (row["incoming"], row["present"]):
            name = called.get(row["field"], row["field"])
            found.add((ref, name, shown(pairs, name, value)))
    return found


def shown(pairs: Pairs, name: str, value: Value) -> Value:
    """A company as the Account that it is."""
    if name in ("AccountId", "ParentId") and (account := pairs.get((Ref(*COMPANY, str(value)), Object(*ACCOUNT)))):
        return account.id
    return value
