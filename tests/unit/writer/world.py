"""Two systems and all that lies between them, in memory: the real hops of the mapper, the real plan, merge and loop.

Salesforce's versions have whole seconds and its poll stays behind the clock; the hub's count changes one by one.
Time moves only when a test says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.mapper.engine import Input, Output
from services.mapper.join import Join
from services.mapper.records import Records
from services.writer.loop import Writer
from services.writer.sinks import Present, Saved, Write, Written
from syncline.config.model import Config
from syncline.contracts.change import Change, Op
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import RecordRejected, Transient
from syncline.contracts.link import Link
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.contracts.request import Request
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.runtime.kafka import Message

NAMES = Names("t")
START = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = {
    "Account": {"Name": "name", "Phone": "phone", "Tier": "tier"},
    "Contact": {"LastName": "last_name", "Email": "email"},
}
"""Salesforce's fields to the hub's, of each object; Phone is cleared by an empty value, the others are not."""
HUB_NAME = {"Account": "company", "Contact": "customer"}
PARENT = {"sf": "AccountId", "hub": "company_id"}
KEY = {"sf": "Hub", "hub": "sf_id"}


def config(conflict: str = "latest", on_delete: Any = "ignore", **mapped: Any) -> Config:
    """`mapped` replaces the pipelines' fields, by pipeline."""
    clear = {"on_empty": "clear"}
    shared = {"conflict": conflict, "on_delete": on_delete, "delete_limit": 1000}
    pipelines = {
        "accounts": {
            "from": "sf.Account",
            "to": "hub.company",
            "match": [["name"]],
            "fields": {"name": "Name", "phone": {"from": "Phone", **clear}, "tier": "Tier"},
        },
        "companies": {
            "from": "hub.company",
            "to": "sf.Account",
            "match": [["Name"]],
            "fields": {"Name": "name", "Phone": {"from": "phone", **clear}, "Tier": "tier"},
        },
        "contacts": {
            "from": "sf.Contact",
            "to": "hub.customer",
            "parent": {"field": "company_id", "from": "AccountId", "pipeline": "accounts"},
            "match": [["email"]],
            "fields": {"last_name": "LastName", "email": "Email"},
        },
        "customers": {
            "from": "hub.customer",
            "to": "sf.Contact",
            "parent": {"field": "AccountId", "from": "company_id", "pipeline": "companies"},
            "match": [["Email"]],
            "fields": {"LastName": "last_name", "Email": "email"},
        },
    }
    for name, fields in mapped.items():
        pipelines[name] = {**pipelines[name], "fields": fields}
    return Config.model_validate(
        {
            "systems": {
                "sf": {
                    "kind": "salesforce",
                    "login_url": "x",
                    "auth": {"flow": "client_credentials", "client_id": "x", "client_secret": "x"},
                    "objects": {name: {"counterpart": {"hub": "Hub"}} for name in FIELDS},
                },
                "hub": {
                    "kind": "postgres",
                    "url": "x",
                    "objects": {
                        name: {"table": f"hub.{name}", "counterpart": {"sf": "sf_id"}} for name in HUB_NAME.values()
                    },
                },
            },
            "pipelines": {name: {**shared, **pipeline} for name, pipeline in pipelines.items()},
        }
    )


@dataclass
class Clock:
    second: int = 1

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.second)


@dataclass
class Row:
    values: Fields
    version: str
    at: datetime
    gone: bool = False


Place = tuple[str, str]
"""An object's name and a record's id."""


class MemorySystem:
    """One system's records and its sink. `writes` counts rows that Syncline wrote; `meanwhile` are people who do
    something after the sink has looked and before it writes; `unanswered` loses the answer of the next write."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self.clock, self.key = name, clock, KEY[name]
        self.records: dict[Place, Row] = {}
        self.captured: dict[Place, str] = {}
        self.coarse = name == "sf"
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.writes = 0
        self.meanwhile: list[Callable[[], None]] = []
        self.unanswered = False
        self._serial = 0

    def names(self, kind: str) -> list[str]:
        """Of the fields of `Account` or `Contact` here."""
        fields = FIELDS[kind] if self.coarse else FIELDS[kind].values()
        return [self.key, *fields, *([PARENT[self.name]] if kind == "Contact" else [])]

    def object(self, kind: str) -> str:
        return kind if self.coarse else HUB_NAME[kind]

    def live(self, kind: str) -> list[str]:
        name = self.object(kind)
        return [id for (each, id), row in self.records.items() if each == name and not row.gone]

    def save(self, name: str, id: str, values: Fields, *, gone: bool = False) -> str:
        self._serial += 1
        version = f"{self.clock.second:08}" if self.coarse else f"{self._serial:08}"
        before = self.records.get((name, id))
        stored = {**(before.values if before else {}), **values}
        self.records[name, id] = Row(stored, version, self.clock.now, gone)
        return version

    def create(self, kind: str, values: Fields) -> str:
        name = self.object(kind)
        id = f"{name}{sum(each == name for each, _ in self.records)}"
        self.save(name, id, dict.fromkeys(self.names(kind)) | self.canonical(name, values))
        return id

    def children(self, id: str) -> list[str]:
        name = self.object("Contact")
        return [each for each in self.live("Contact") if self.records[name, each].values[PARENT[self.name]] == id]

    def remove(self, name: str, id: str) -> None:
        """As people delete: Salesforce takes an Account's Contacts along, and so does the hub's application."""
        if name == self.object("Account"):
            for child in self.children(id):
                self.save(self.object("Contact"), child, {}, gone=True)
        self.save(name, id, {}, gone=True)

    def capture(self) -> list[Change]:
        """What a poll reads: every row that changed since, as it is now; a second must be over to be read."""
        changes = []
        for place, row in self.records.items():
            fresh = self.coarse and row.version >= f"{self.clock.second:08}"
            if self.captured.get(place) != row.version + str(row.gone) and not fresh:
                self.captured[place] = row.version + str(row.gone)
                changes.append(self.event(place, "delete" if row.gone else "update"))
        return changes

    def event(self, place: Place, op: Op) -> Change:
        name, id = place
        row = self.records[place]
        return Change(
            ref=Ref(self.name, name, id),
            instance="i",
            op=op,
            version=row.version,
            time=row.at.isoformat(),
            fields={} if op == "delete" else dict(row.values),
        )

    async def refresh(self) -> None:
        return

    def canonical(self, name: str, fields: Fields) -> Fields:
        """Salesforce trims text and keeps blanks as null; the hub keeps what it is given."""
        if not self.coarse:
            return fields
        return {each: (value.strip() or None) if isinstance(value, str) else value for each, value in fields.items()}

    def _present(self, place: Place) -> Present:
        row = self.records[place]
        return Present(place[1], dict(row.values), row.version, row.at.isoformat())

    def _there(self, name: str, id: str) -> bool:
        return (name, id) in self.records and not self.records[name, id].gone

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> Mapping[str, Present]:
        return {id: self._present((name, id)) for id in ids if self._there(name, id)}

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> Sequence[Sequence[Present]]:
        return [
            [
                self._present((each, id))
                for (each, id), row in self.records.items()
                if each == name
                and not row.gone
                and all(
                    _folded(row.values.get(part)) == _folded(value) for part, value in zip(rule, asked, strict=True)
                )
            ]
            for asked in values
        ]

    async def write(self, name: str, writes: Sequence[Write]) -> Sequence[Written]:
        if self.meanwhile:
            self.meanwhile.pop()()
        written = [self._write(name, write) for write in writes]
        if self.unanswered:
            self.unanswered = False
            raise Transient("the connection broke")
        return written

    async def delete(self, name: str, ids: Sequence[str]) -> Sequence[Written]:
        return [self._delete(name, id) for id in ids]

    def _delete(self, name: str, id: str) -> Written:
        if not self.coarse and name == "company" and self.children(id):
            return RecordRejected("customers refer to it", code="foreign_key_violation")
        before = f"{self.clock.second:08}"
        if self._there(name, id):
            self.writes += 1
            self.remove(name, id)
        return Saved(id, False, before if self.coarse else self.records[name, id].version)

    def _write(self, name: str, write: Write) -> Written:
        before = f"{self.clock.second:08}"
        parent = write.values.get(PARENT[self.name])
        if parent is not None and not self._there(self.object("Account"), str(parent)):
            return RecordRejected("its parent is gone", code="INVALID_CROSS_REFERENCE_KEY")
        if write.id is not None:
            if not self._there(name, write.id):
                return Transient("gone meanwhile")
            present = self._present((name, write.id))
            changed = any(present.values.get(each) != value for each, value in (write.expected or {}).items())
            if changed and not self.coarse:
                return Transient("changed meanwhile")
            self.writes += 1
            version = self.save(name, write.id, write.values)
            return Saved(write.id, False, before, present) if self.coarse else Saved(write.id, False, version)
        assert write.key is not None
        self.writes += 1
        key, value = write.key
        for (each, id), row in self.records.items():
            if each == name and row.values.get(key) == value and not row.gone:
                return Saved(id, False, self.save(name, id, write.values))
        kind = name if self.coarse else {hub: sf for sf, hub in HUB_NAME.items()}[name]
        id = self.create(kind, {**write.values, key: value})
        return Saved(id, True, before if self.coarse else self.records[name, id].version)


def _folded(value: Value) -> str:
    return str(value).strip().lower()


class MemoryLinks:
    """The links' storage; `crash` makes the next save fail as if the process had died just before it."""

    def __init__(self) -> None:
        self.stored: dict[int, Link] = {}
        self.crash = False

    def of(self, ref: Ref, kind: Object) -> Link | None:
        for link in self.stored.values():
            if (link.source.ref, link.target.ref.kind) == (ref, kind):
                return link
            if (link.target.ref, link.source.ref.kind) == (ref, kind):
                return replace(link, source=link.target, target=link.source)
        return None

    async def find(self, wanted: Iterable[tuple[Ref, Object]]) -> dict[tuple[Ref, Object], Link]:
        return {each: link for each in wanted if (link := self.of(*each))}

    async def save(self, links: Sequence[Link]) -> list[bool]:
        if self.crash:
            self.crash = False
            raise Killed
        return [self._save(link) for link in links]

    def _save(self, link: Link) -> bool:
        stored = self.stored.get(link.id)
        if (stored.revision if stored else 0) != link.revision:
            return False
        for ref, kind in ((link.source.ref, link.target.ref.kind), (link.target.ref, link.source.ref.kind)):
            other = self.of(ref, kind)
            if other and other.id != link.id:
                return False
        id = link.id or len(self.stored) + 1
        self.stored[id] = replace(link, id=id, revision=link.revision + 1)
        return True


class Killed(BaseException):
    """The process died here."""


class MemoryConflicts:
    def __init__(self) -> None:
        self.rows: list[Conflict] = []

    async def record(self, rows: Sequence[Conflict]) -> None:
        self.rows += [row for row in rows if row not in self.rows]


class MemoryDeletions:
    """Consents to all, up to `limit`."""

    def __init__(self) -> None:
        self.limit = 1000
        self.waiting: list[Command] = []
        self.kept: list[Command] = []

    async def claim(self, commands: Sequence[Command]) -> list[bool]:
        if len(commands) > self.limit:
            self.waiting += commands
            return [False] * len(commands)
        self.kept = [each for each in self.kept if each not in commands]
        return [True] * len(commands)

    async def block(self, commands: Sequence[Command]) -> None:
        self.kept += commands

    async def blocked(self) -> list[Command]:
        return list(self.kept)


class Tables:
    def __init__(self) -> None:
        self.rows: dict[str, dict[bytes, bytes]] = {"records": {}, "synced": {}, "held": {}}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows[table].get(key)

    def scan(self, table: str, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return sorted(row for row in self.rows[table].items() if row[0].startswith(prefix))

    def apply(self, changes: Mapping[str, Mapping[bytes, bytes | None]]) -> None:
        for table, rows in changes.items():
            for key, value in rows.items():
                if value is None:
                    self.rows[table].pop(key, None)
                else:
                    self.rows[table][key] = value


@dataclass
class Fetched:
    """As aiokafka's record, as far as the writer looks."""

    value: bytes | None
    topic: str = "commands"
    partition: int = 0
    offset: int = 0


@dataclass
class World:
    """results and letters are all that were ever published; commands are those that the writer has yet to take."""

    configured: Config = field(default_factory=config)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.sf, self.hub = MemorySystem("sf", self.clock), MemorySystem("hub", self.clock)
        self.links, self.conflicts, self.deletions = MemoryLinks(), MemoryConflicts(), MemoryDeletions()
        self.join, self.tables = Join(NAMES), Tables()
        self.events: dict[str, list[Change]] = {"sf": [], "hub": []}
        self.commands: list[Fetched] = []
        self.results: list[Result] = []
        self.letters: list[DeadLetter] = []
        self.use(self.configured)

    def use(self, configured: Config) -> None:
        """As services that were started with this pipelines.yaml."""
        self.records = Records(configured, NAMES)
        self.writer = Writer(
            sinks={"sf": self.sf, "hub": self.hub},
            links=self.links,
            conflicts=self.conflicts,
            deletions=self.deletions,
            publisher=self,
            names=NAMES,
            reject_limit=10_000,
            now=lambda: self.clock.now,
        )

    def system(self, name: str) -> MemorySystem:
        return self.sf if name == "sf" else self.hub

    def capture(self, name: str) -> None:
        self.events[name] += self.system(name).capture()

    def map(self, name: str) -> None:
        events, self.events[name] = self.events[name], []
        self._run(self.records, [("changes", b"", each.encode()) for each in events])

    def _run(self, hop: Records | Join, messages: Sequence[tuple[str, bytes, bytes | None]]) -> None:
        batch = [Input(topic, 0, at, key, value, 0) for at, (topic, key, value) in enumerate(messages)]
        effects = hop.run(batch, self.tables)
        self.tables.apply(effects.changes)
        joined: list[tuple[str, bytes, bytes | None]] = []
        for output in effects.outputs:
            if output.topic in (NAMES.mapped, NAMES.results):
                joined.append((output.topic, output.key, output.value))
            self._note(output)
        if joined:
            self._run(self.join, joined)

    def _note(self, message: Output | Message) -> None:
        if message.topic == NAMES.results:
            self.results.append(Result.decode(message.value))
        elif message.topic == NAMES.dead_letters:
            self.letters.append(DeadLetter.decode(message.value))
        elif message.topic == NAMES.requests:
            self._answer(Request.decode(message.value).ref)
        elif message.topic != NAMES.mapped:
            self.commands.append(Fetched(message.value))

    def _answer(self, ref: Ref) -> None:
        """As the poller: what can be read is published again."""
        system, place = self.system(ref.system), (ref.object, ref.id)
        row = system.records.get(place)
        if row and not row.gone and not (system.coarse and row.version >= f"{self.clock.second:08}"):
            self.events[ref.system].append(system.event(place, "snapshot"))

    async def publish(self, messages: Iterable[Message]) -> None:
        results: list[tuple[str, bytes, bytes | None]] = []
        for message in messages:
            self._note(message)
            if message.topic == NAMES.results:
                results.append((message.topic, message.key, message.value))
        self._run(self.join, results)

    def write(self, count: int, *, redeliver: bool = False) -> None:
        """Hand over the first `count` commands; a killed or redelivered pass leaves them where they are."""
        batch = self.commands[:count]
        try:
            asyncio.run(self.writer.handle(batch))
        except (Killed, Transient):
            return
        if not redeliver:
            del self.commands[: len(batch)]

    def settle(self, rounds: int = 20) -> int:
        """Until nobody has anything to say; returns how many rounds it took. Raises when it does not end."""
        for done in range(rounds):
            self.clock.second += 5
            for name in ("sf", "hub"):
                self.capture(name)
            if not (self.events["sf"] or self.events["hub"] or self.commands):
                return done
            for name in ("sf", "hub"):
                self.map(name)
            self.write(len(self.commands))
        raise AssertionError(f"does not settle in {rounds} rounds")
