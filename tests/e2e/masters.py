"""People who edit at random in both systems, at the same time too, and the log of all that they typed."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from asyncpg import DeadlockDetectedError

from syncline.config.model import PostgresSystem, SalesforceSystem
from syncline.contracts.errors import SessionExpired, Transient
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.local.demo import both
from syncline.local.demo.compare import Pairs
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import Saved
from syncline.systems.salesforce import open_salesforce

PIPELINES = {"account-to-company": {"ParentId": "parent_id"}, "contact-to-customer": {"AccountId": "company_id"}}
"""Whose fields are edited, and beside those the field that names another record."""
NAMES = {"Email", "AccountNumber"}
"""By these a person or a company is recognised: nobody edits them."""
CLEARED = {"Phone", "phone"}
"""Mapped with `on_empty: clear`; any other field that is emptied stays as it is on the other side."""

Place = tuple[Ref, str]
"""A field of a record, as its own system calls it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """It took effect at some time from began to ended (seconds); a call that Salesforce failed is sent again."""

    value: Value
    began: float
    ended: float


@dataclass
class Masters:
    """fields: Salesforce's field to the hub's, by Salesforce's object. typed: the last edit of each field on its own
    side, with what was there at the start; ever: all of them. edits: how many were made."""

    story: Story
    client: Salesforce
    rng: random.Random
    fields: dict[Object, dict[str, str]] = field(default_factory=dict)
    typed: dict[Place, Edit] = field(default_factory=dict)
    ever: defaultdict[Place, set[Value]] = field(default_factory=lambda: defaultdict(set))
    edits: int = 0
    rounds: int = 0
    words: Iterator[int] = field(default_factory=count)

    async def look(self) -> None:
        """Before anything flows: what is there was typed once, at the same time on both sides."""
        for name, references in PIPELINES.items():
            pipeline = self.story.system.config.pipelines[name]
            mapped = {
                m.sources[0]: target for target, m in pipeline.fields.items() if m.sources and m.sources[0] not in NAMES
            }
            self.fields[pipeline.from_] = {**mapped, **references}
        records = await both.records(self.story.system, self.story.hub, self.story.http)
        self.ids: dict[Object, list[str]] = {kind: sorted(rows) for kind, rows in records.items()}
        for kind, rows in records.items():
            for id, row in rows.items():
                self._log(Ref(*kind, id), {each: row[each] for each in self._editable(kind) if row.get(each)}, 0, 0)
        self.edits = 0

    async def round(self, size: int) -> None:
        """About `size` fields on each side, some of them on both; new records; and the same person in both systems."""
        self.rounds += 1
        pairs = await both.pairs(self.story.state)
        ours = [self._any_place((ACCOUNT, CONTACT)) for _ in range(size)]
        theirs = [self._any_place((COMPANY, CUSTOMER)) for _ in range(size)]
        theirs += [there for here in ours[: size // 4] if (there := self._counterpart(here, pairs))]
        twins = self.rounds % 2 == 0
        if twins:
            # The one in Salesforce comes first, and is not seen by anybody within a second: who makes the same person
            # where the sync has just made it makes a duplicate of his own.
            await self._create_in_salesforce(f"twin{self.rounds}")
            await self._create_in_the_hub(f"twin{self.rounds}")
        await self._create_in_salesforce(f"sf{self.rounds}")
        await self._create_in_the_hub(f"hub{self.rounds}")
        await self._edit_salesforce(await self._values(ours, pairs))
        await self._edit_the_hub(await self._values(theirs, pairs))

    def _editable(self, kind: Object) -> Iterable[str]:
        if kind in self.fields:
            return self.fields[kind].keys()
        return self.fields[ACCOUNT if kind == COMPANY else CONTACT].values()

    def _any_place(self, kinds: Sequence[Object]) -> Place:
        """Twice as often a person as an employer."""
        kind = self.rng.choice([kinds[0], kinds[1], kinds[1]])
        return Ref(*kind, self.rng.choice(self.ids[kind])), self.rng.choice(sorted(self._editable(kind)))

    def _counterpart(self, place: Place, pairs: Pairs) -> Place | None:
        ref, name = place
        for ours, theirs in ((ACCOUNT, COMPANY), (CONTACT, CUSTOMER)):
            called = self.fields[ours]
            if ref.kind == ours and (there := pairs.get((ref, theirs))):
                return there, called[name]
            if ref.kind == theirs and (there := pairs.get((ref, ours))):
                return there, next(each for each, other in called.items() if other == name)
        return None

    async def _values(self, places: Sequence[Place], pairs: Pairs) -> dict[Ref, Fields]:
        agreed = await self._agreed({place for place in places if place[1] in CLEARED})
        found: dict[Ref, Fields] = defaultdict(dict)
        for ref, name in places:
            if name in ("AccountId", "ParentId", "company_id", "parent_id"):
                parent = self.rng.choice(self.ids[ACCOUNT if ref.system == ACCOUNT.system else COMPANY])
                if parent not in {ref.id, *self._been(ref, name, pairs)}:
                    found[ref][name] = parent
            elif (ref, name) in agreed and self.rng.random() < 0.5:
                found[ref][name] = None
            else:
                found[ref][name] = f"{next(self.words)}-{self.rng.getrandbits(16):04x}"
        return found

    def _been(self, ref: Ref, name: str, pairs: Pairs) -> set[Value]:
        """Parents that the record has had on either side: who picks the present one again has not moved it."""
        been = set(self.ever[ref, name])
        if there := self._counterpart((ref, name), pairs):
            ours, theirs = (ACCOUNT, COMPANY) if ref.system == ACCOUNT.system else (COMPANY, ACCOUNT)
            found = (pairs.get((Ref(*theirs, str(value)), Object(*ours))) for value in self.ever[there])
            been |= {each.id for each in found if each}
        return been

    async def _agreed(self, places: set[Place]) -> set[Place]:
        """Those that hold what both sides are known to hold. Who fills a field and empties it again before anybody has
        looked has not changed it."""
        now: dict[Place, Value] = {}
        for kind in (ACCOUNT, CONTACT):
            ids = [ref.id for ref, _ in places if ref.kind == kind]
            records = await self.client.retrieve(kind.name, ids, ["Id", "Phone"]) if ids else []
            now |= {(Ref(*kind, row["Id"]), "Phone"): row["Phone"] for row in records if row}
        for kind in (COMPANY, CUSTOMER):
            ids = [ref.id for ref, _ in places if ref.kind == kind]
            hub = self.story.system.config.systems[kind.system]
            assert isinstance(hub, PostgresSystem)
            statement = f"SELECT id::text, phone FROM {hub.objects[kind.name].table} WHERE id = ANY($1::uuid[])"
            now |= {
                (Ref(*kind, row["id"]), "phone"): row["phone"] for row in await self.story.hub.fetch(statement, ids)
            }
        statement = "SELECT a_system, a_object, a_id, a_known, b_system, b_object, b_id, b_known FROM syncline.links"
        sides = [side for row in await self.story.state.fetch(statement) for side in (tuple(row)[:4], tuple(row)[4:])]
        known = {Ref(*side[:3]): side[3] for side in sides}
        return {place for place, value in now.items() if value and known.get(place[0], {}).get(place[1]) == value}

    async def _edit_salesforce(self, values: Mapping[Ref, Fields]) -> None:
        for kind in (ACCOUNT, CONTACT):
            given = {ref: row for ref, row in values.items() if ref.kind == kind and row}
            rows = [{"Id": ref.id, **row} for ref, row in given.items()]
            began = time.time()
            while rows:
                try:
                    outcomes = await self.client.update(kind.name, rows)
                except SessionExpired:  # a second time at once: a person logs in again
                    continue
                refused = [each for each in outcomes if not isinstance(each, Saved | Transient)]
                assert not refused, refused
                rows = [row for row, outcome in zip(rows, outcomes, strict=True) if not isinstance(outcome, Saved)]
            for ref, row in given.items():
                self._log(ref, row, began, time.time())

    async def _edit_the_hub(self, values: Mapping[Ref, Fields]) -> None:
        columns: dict[tuple[Object, str], dict[str, Value]] = defaultdict(dict)
        for ref, row in values.items():
            for name, value in row.items():
                columns[ref.kind, name][ref.id] = value
        for (kind, name), given in columns.items():
            began = time.time()
            changed = await self._update(self._statement(kind, name), list(given), list(given.values()))
            for id in changed:
                self._log(Ref(*kind, id), {name: given[id]}, began, time.time())

    async def _update(self, statement: str, ids: list[str], values: list[Value]) -> list[str]:
        """Whose row there is: not everyone has an address."""
        while True:
            try:
                return [row["id"] for row in await self.story.hub.fetch(statement, ids, values)]
            except DeadlockDetectedError:  # the database took the other one's side; a person tries again
                continue

    def _statement(self, kind: Object, name: str) -> str:
        hub = self.story.system.config.systems[kind.system]
        assert isinstance(hub, PostgresSystem)
        described = hub.objects[kind.name]
        prefix, _, column = name.rpartition(".")
        table, owner, condition = described.table, "id", ""
        if prefix:
            embedded = described.embed[prefix]
            table, owner = embedded.table, embedded.owner
            condition = f" AND edited.kind = '{embedded.where['kind']}' AND edited.is_primary"
        value = "given.value::uuid" if column in ("company_id", "parent_id") else "given.value"
        return (
            f"UPDATE {table} AS edited SET {column} = {value}"
            " FROM unnest($1::text[], $2::text[]) AS given (id, value)"
            f" WHERE edited.{owner} = given.id::uuid{condition} RETURNING given.id AS id"
        )

    async def _create_in_salesforce(self, called: str) -> None:
        account: Fields = {"Name": f"{called} of sf", "AccountNumber": called.upper(), "Phone": f"{called} 1"}
        [made] = await self._load(ACCOUNT, account)
        employer = self.rng.choice([made, self.rng.choice(self.ids[ACCOUNT])])
        email = f"{called}@new.example"
        await self._load(
            CONTACT, {"LastName": f"{called} of sf", "Title": f"{called} 2", "Email": email, "AccountId": employer}
        )

    async def _load(self, kind: Object, row: Fields) -> list[str]:
        """Past the API: a create whose answer is lost is the person's own duplicate, and not our matter."""
        began = time.time()
        url = f"{self.story.system.org_url}/simorg/load"
        async with self.story.http.post(url, json={kind.name: [row]}) as reply:
            assert reply.status == 200, await reply.text()
            ids: list[str] = (await reply.json())["ids"][kind.name]
        self._made(Ref(*kind, ids[0]), row, began)
        return ids

    async def _create_in_the_hub(self, called: str) -> None:
        company, customer = (str(UUID(int=self.rng.getrandbits(128))) for _ in range(2))
        row: Fields = {"name": f"{called} of hub", "account_number": called, "phone": f"{called} 3"}
        made = await self._insert(COMPANY, "account_number", company, row)
        employer = company if made and self.rng.random() < 0.5 else self.rng.choice(self.ids[COMPANY])
        email = f"{called}@new.example"
        row = {"last_name": f"{called} of hub", "title": f"{called} 4", "email": email, "company_id": employer}
        await self._insert(CUSTOMER, "email", customer, row)

    async def _insert(self, kind: Object, unique: str, id: str, row: Fields) -> bool:
        """False when it is there already, which a person sees."""
        table = "hub.companies" if kind == COMPANY else "hub.customers"
        casts = {"company_id": "::text::uuid"}
        values = ", ".join(f"${place}{casts.get(name, '::text')}" for place, name in enumerate(row, 2))
        wanted = list(row).index(unique) + 2
        began = time.time()
        made = await self.story.hub.fetchval(
            f"INSERT INTO {table} (id, {', '.join(row)}) SELECT $1::text::uuid, {values}"
            f" WHERE NOT EXISTS (SELECT FROM {table} WHERE lower({unique}) = lower(${wanted}::text)) RETURNING id",
            id,
            *row.values(),
        )
        if made:
            self._made(Ref(*kind, id), row, began)
        return made is not None

    def _made(self, ref: Ref, row: Fields, began: float) -> None:
        self.ids[ref.kind].append(ref.id)
        editable = set(self._editable(ref.kind))
        self._log(ref, {name: value for name, value in row.items() if name in editable}, began, time.time())

    def _log(self, ref: Ref, values: Mapping[str, Value], began: float, ended: float) -> None:
        self.edits += len(values)
        self.typed |= {(ref, name): Edit(value, began, ended) for name, value in values.items()}
        for name, value in values.items():
            self.ever[ref, name].add(value)


@asynccontextmanager
async def masters(told: Story, seed: int) -> AsyncIterator[Masters]:
    rng = random.Random(f"masters {seed}")
    described = told.system.config.systems["salesforce"]
    assert isinstance(described, SalesforceSystem)
    async with open_salesforce(described, rng=rng) as client:
        yield Masters(told, client, rng)
