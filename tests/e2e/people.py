"""People who work in both systems while records flow, and what must be true of both systems in the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from syncline.config.model import SalesforceSystem
from syncline.contracts.errors import SessionExpired, Transient
from syncline.contracts.ref import Fields, Object
from syncline.local.demo import both
from syncline.local.demo.data import Data, Sizes, make
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.runtime.waiting import pause
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import Saved
from syncline.systems.salesforce import open_salesforce
from tests.e2e.conftest import stories

REST = 0.2
"""Seconds between two rounds of edits."""

SMALL = Sizes(accounts=40, contacts=160, orphans=4, companies=30, customers=90)


def small(seed: int) -> Data:
    return make(SMALL, rng=random.Random(f"data {seed}"), now=datetime.now(UTC))


def folded(row: Mapping[str, Any], name: str) -> str:
    """How a person or a company is recognised on both sides: the pipelines match without regard to case."""
    return str(row[name]).lower()


@dataclass
class People:
    """Titles and employers are changed in Salesforce, phones in the hub, new records are made in both.

    No field is edited on both sides, so that each last value must win: by the person's e-mail address, `titles`,
    `employers` (account number) and `phones` are what both sides must hold, `accounts` and `persons` whom they must
    know. `orphans` have no employer and stay in Salesforce.
    """

    story: Story
    client: Salesforce
    data: Data
    rng: random.Random
    titles: dict[str, str] = field(default_factory=dict)
    phones: dict[str, str | None] = field(default_factory=dict)
    employers: dict[str, str] = field(default_factory=dict)
    rounds: int = 0

    def __post_init__(self) -> None:
        org, hub = self.data.org, self.data.hub
        self.contacts = {folded(row, "Email"): row["Id"] for row in org["Contact"] if row["AccountId"]}
        self.orphans = {folded(row, "Email") for row in org["Contact"] if not row["AccountId"]}
        self.customers = {folded(row, "email"): row["id"] for row in hub["customers"]}
        self.account_ids = {row["AccountNumber"]: row["Id"] for row in org["Account"]}
        self.company_ids = {row["account_number"]: row["id"] for row in hub["companies"]}

    @property
    def accounts(self) -> set[str]:
        return {*self.account_ids, *self.company_ids}

    @property
    def persons(self) -> set[str]:
        return {*self.contacts, *self.customers}

    async def work(self, stop: asyncio.Event) -> None:
        """One round after the other until `stop`; a round waits until something of the one before was captured."""
        while not stop.is_set():
            events = self.story.running.seen.events.total()
            await self.round()
            await pause(REST, stop)
            while not stop.is_set() and self.story.running.seen.events.total() == events:
                await pause(REST, stop)

    async def keep_on(self, stop: asyncio.Event, every: float) -> None:
        """A round each `every` seconds, whatever became of the one before."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self.round()
            due += every
            await pause(max(0.0, due - loop.time()), stop)

    async def round(self) -> None:
        self.rounds += 1
        await self._in_salesforce(self.rounds)
        await self._in_the_hub(self.rounds)

    async def _in_salesforce(self, n: int) -> None:
        number = f"NEW-{n:05}"
        email = f"new-contact{n}@mail.example"
        account = await self._load("Account", {"Name": f"New Account {n}", "AccountNumber": number})
        contact = await self._load("Contact", {"LastName": f"New {n}", "Email": email, "AccountId": account})
        self.account_ids[number], self.contacts[email] = account, contact

        *titled, moved = self.rng.sample(sorted(self.contacts), 6)
        employer = self.rng.choice(sorted(self.account_ids))
        self.titles |= dict.fromkeys(titled, f"Title {n}")
        self.employers[moved] = employer
        await self._update(
            [
                *({"Id": self.contacts[each], "Title": f"Title {n}"} for each in titled),
                {"Id": self.contacts[moved], "AccountId": self.account_ids[employer]},
            ]
        )

    async def _load(self, name: str, row: dict[str, Any]) -> str:
        """Past the API: a create whose answer is lost is the person's own duplicate, and not our matter."""
        async with self.story.http.post(f"{self.story.system.org_url}/simorg/load", json={name: [row]}) as reply:
            assert reply.status == 200, await reply.text()
            [id] = (await reply.json())["ids"][name]
            return str(id)

    async def _update(self, rows: list[dict[str, Any]]) -> None:
        while rows:
            try:
                outcomes = await self.client.update("Contact", rows)
            except SessionExpired:  # a second time at once: a person logs in again
                continue
            refused = [each for each in outcomes if not isinstance(each, Saved | Transient)]
            assert not refused, refused
            rows = [row for row, outcome in zip(rows, outcomes, strict=True) if not isinstance(outcome, Saved)]

    async def _in_the_hub(self, n: int) -> None:
        number, email = f"NEW-HUB-{n:05}", f"new-customer{n}@shop.example"
        company, customer = (UUID(int=self.rng.getrandbits(128)) for _ in range(2))
        # Those that match a Contact hold its number in the end, as the configuration says: not edited here.
        own = sorted(each for each in self.customers if each not in self.contacts)
        phoned = dict.fromkeys(self.rng.sample(own, 4), f"+41 {n:09}") | {self.rng.choice(own): None}
        async with self.story.hub.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO hub.companies (id, name, account_number) VALUES ($1, $2, $3)",
                company,
                f"New company {n}",
                number,
            )
            await connection.execute(
                "INSERT INTO hub.customers (id, company_id, last_name, email) VALUES ($1, $2, $3, $4)",
                customer,
                company,
                f"New {n}",
                email,
            )
            await connection.execute(
                "UPDATE hub.customers SET phone = given.phone"
                " FROM unnest($1::uuid[], $2::text[]) AS given (id, phone) WHERE customers.id = given.id",
                [self.customers[each] for each in phoned],
                list(phoned.values()),
            )
        self.company_ids[number], self.customers[email] = company, customer
        self.phones |= phoned


@asynccontextmanager
async def at_work(told: Story, data: Data, seed: int, *, every: float | None = None) -> AsyncIterator[People]:
    """They work for as long as the block runs, and what they could not do is raised at its end. every: seconds from
    one round to the next; without it a round waits for the one before."""
    rng = random.Random(f"people {seed}")
    described = told.system.config.systems["salesforce"]
    assert isinstance(described, SalesforceSystem)
    stop = asyncio.Event()
    async with open_salesforce(described, rng=rng) as client:
        people = People(told, client, data, rng)
        working = asyncio.create_task(people.keep_on(stop, every) if every else people.work(stop))
        try:
            yield people
        finally:
            stop.set()
            await working


async def check_end_state(told: Story, people: People) -> None:
    """Waits until both sides are equal; then nobody is there twice, nobody is lost, and every last edit is there."""
    comparison = await told.settled()
    assert comparison.equal
    seen = told.running.seen
    assert (seen.held, seen.letters) == (set(), [])
    assert set(seen.skipped) <= {"it has no AccountId", "a newer version was applied"}

    records = await both.records(told.system, told.hub, told.http)
    employers: dict[Object, dict[str, str]] = {}
    for kind, number in ((ACCOUNT, "AccountNumber"), (COMPANY, "account_number")):
        rows = records[kind]
        assert counted(row[number] for row in rows.values()) == counted(people.accounts)
        employers[kind] = {id: str(row[number]) for id, row in rows.items()}
    for kind, names in (
        (CONTACT, ("Email", "Title", "Phone", "AccountId")),
        (CUSTOMER, ("email", "title", "phone", "company_id")),
    ):
        email, title, phone, employer = names
        rows = records[kind]
        persons = people.persons | (people.orphans if kind == CONTACT else set())
        assert counted(folded(row, email) for row in rows.values()) == counted(persons)
        ids = {folded(row, email): id for id, row in rows.items()}
        by_email: dict[str, Fields] = {folded(row, email): row for row in rows.values()}
        owners = employers[ACCOUNT if kind == CONTACT else COMPANY]
        for typed, held in (
            (people.titles, {each: by_email[each].get(title) for each in people.titles}),
            (people.phones, {each: by_email[each].get(phone) for each in people.phones}),
            (people.employers, {each: owners[str(by_email[each][employer])] for each in people.employers}),
        ):
            wrong = [ids[each] for each in typed if typed[each] != held[each]]
            assert not wrong, await stories(told, wrong)


def counted(names: Iterable[Any]) -> Counter[str]:
    return Counter(map(str, names))


async def put_faults(told: Story, faults: Mapping[str, float]) -> None:
    """Fault to the probability with which it strikes a call, or a row, of the simulated org."""
    rules = [{"fault": name, "probability": share} for name, share in faults.items()]
    async with told.http.put(f"{told.system.org_url}/simorg/faults", json={"faults": rules}) as reply:
        assert reply.status == 200, await reply.text()
