"""Two systems and the writer between them, in memory: the real mapper's first hop, the real plan, merge and loop.

Salesforce's versions have whole seconds and its poll stays behind the clock; the hub's count changes one by one.
Time moves only when a test says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.mapper.engine import Input
from services.mapper.mapped import Mapped
from services.mapper.records import Records
from services.writer.loop import Writer
from services.writer.sinks import Present, Saved, Write, Written
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Transient
from syncline.contracts.link import Link
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.runtime.kafka import Message

NAMES = Names("t")
START = datetime(2026, 1, 1, tzinfo=UTC)
SF, HUB = Object("sf", "Account"), Object("hub", "company")
FIELDS = {"Name": "name", "Phone": "phone", "Tier": "tier"}


def config(conflict: str = "latest") -> Config:
    phone = {"on_empty": "clear"}
    return Config.model_validate(
        {
            "systems": {
                "sf": {
                    "kind": "salesforce",
                    "login_url": "x",
                    "auth": {"flow": "client_credentials", "client_id": "x", "client_secret": "x"},
                    "objects": {"Account": {"counterpart": {"hub": "Hub"}}},
                },
                "hub": {
                    "kind": "postgres",
                    "url": "x",
                    "objects": {"company": {"table": "hub.companies", "counterpart": {"sf": "sf_id"}}},
                },
            },
            "pipelines": {
                "out": {
                    "from": "sf.Account",
                    "to": "hub.company",
                    "match": [["name"]],
                    "conflict": conflict,
                    "fields": {"name": "Name", "phone": {"from": "Phone", **phone}, "tier": "Tier"},
                },
                "in": {
                    "from": "hub.company",
                    "to": "sf.Account",
                    "match": [["Name"]],
                    "conflict": conflict,
                    "fields": {"Name": "name", "Phone": {"from": "phone", **phone}, "Tier": "tier"},
                },
            },
        }
    )


@dataclass
class Row:
    values: Fields
    version: str
    at: datetime


class MemorySystem:
    """One system's records and its sink. `writes` counts rows that Syncline wrote."""

    def __init__(self, kind: Object, key: str, clock: Clock) -> None:
        self.kind, self.key, self.clock = kind, key, clock
        self.records: dict[str, Row] = {}
        self.captured: dict[str, str] = {}
        self.coarse = kind.system == "sf"
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.writes = 0
        self._serial = 0

    def _version(self) -> str:
        if self.coarse:
            return f"{self.clock.second:08}"
        self._serial += 1
        return f"{self._serial:08}"

    def save(self, id: str, values: Fields) -> str:
        stored = {**(self.records[id].values if id in self.records else {}), **values}
        version = self._version()
        self.records[id] = Row(stored, version, self.clock.now)
        return version

    def create(self, values: Fields) -> str:
        id = f"{self.kind.system}{len(self.records)}"
        self.save(id, dict.fromkeys(self._names()) | self.canonical("", values))
        return id

    def _names(self) -> list[str]:
        return [self.key, *(FIELDS if self.coarse else FIELDS.values())]

    def capture(self) -> list[Change]:
        """What a poll reads: every row that changed since, as it is now; a second must be over to be read."""
        changes = []
        for id, row in self.records.items():
            if self.captured.get(id) != row.version and not (self.coarse and row.version >= f"{self.clock.second:08}"):
                self.captured[id] = row.version
                changes.append(
                    Change(
                        ref=Ref(*self.kind, id),
                        instance="i",
                        op="update",
                        version=row.version,
                        time=row.at.isoformat(),
                        fields=dict(row.values),
                    )
                )
        return changes

    def canonical(self, name: str, fields: Fields) -> Fields:
        """Salesforce trims text and keeps blanks as null; the hub keeps what it is given."""
        if not self.coarse:
            return fields
        return {each: (value.strip() or None) if isinstance(value, str) else value for each, value in fields.items()}

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> Mapping[str, Present]:
        return {id: self._present(id) for id in ids if id in self.records}

    def _present(self, id: str) -> Present:
        row = self.records[id]
        return Present(id, dict(row.values), row.version, row.at.isoformat())

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> Sequence[Sequence[Present]]:
        return [
            [
                self._present(id)
                for id, row in self.records.items()
                if tuple(str(row.values.get(each)).lower() for each in rule) == tuple(str(v).lower() for v in asked)
            ]
            for asked in values
        ]

    async def write(self, name: str, writes: Sequence[Write]) -> Sequence[Written]:
        return [self._write(write) for write in writes]

    def _write(self, write: Write) -> Written:
        before = f"{self.clock.second:08}"
        self.writes += 1
        if write.id is not None:
            present = self.records[write.id].values
            if any(present.get(each) != value for each, value in (write.expected or {}).items()):
                return Transient("changed meanwhile")
            version = self.save(write.id, write.values)
            return Saved(write.id, False, before if self.coarse else version)
        assert write.key is not None
        field_, value = write.key
        for id, row in self.records.items():
            if row.values.get(field_) == value:
                return Saved(id, False, self.save(id, write.values))
        id = self.create({**write.values, field_: value})
        return Saved(id, True, before if self.coarse else self.records[id].version)


@dataclass
class Clock:
    second: int = 1

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.second)


class MemoryLinks:
    """The links' storage; `crash` makes the next save fail as if the process had died just before it."""

    def __init__(self) -> None:
        self.stored: dict[tuple[Ref, Object], Link] = {}
        self.crash = False

    async def find(self, wanted: Iterable[tuple[Ref, Object]]) -> dict[tuple[Ref, Object], Link]:
        return {each: self.stored[each] for each in wanted if each in self.stored}

    async def save(self, links: Sequence[Link]) -> list[bool]:
        if self.crash:
            self.crash = False
            raise Killed
        return [self._save(link) for link in links]

    def _save(self, link: Link) -> bool:
        one, other = (link.source.ref, link.target.ref.kind), (link.target.ref, link.source.ref.kind)
        for place in (one, other):
            stored = self.stored.get(place)
            if (stored.revision if stored else 0) != link.revision:
                return False
        kept = replace(link, revision=link.revision + 1)
        self.stored[one] = kept
        self.stored[other] = replace(kept, source=kept.target, target=kept.source)
        return True


class Killed(BaseException):
    """The process died here."""


class MemoryConflicts:
    def __init__(self) -> None:
        self.rows: list[Conflict] = []

    async def record(self, rows: Sequence[Conflict]) -> None:
        self.rows += [row for row in rows if row not in self.rows]


class MemoryBroker:
    def __init__(self) -> None:
        self.results: list[Result] = []
        self.letters: list[DeadLetter] = []

    async def publish(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.topic == NAMES.results:
                self.results.append(Result.decode(message.value))
            else:
                self.letters.append(DeadLetter.decode(message.value))


class Table:
    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan(self, table: str, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return ()


@dataclass
class Fetched:
    """As aiokafka's record, as far as the writer looks."""

    value: bytes | None
    topic: str = "commands"
    partition: int = 0
    offset: int = 0


@dataclass
class World:
    conflict: str = "latest"
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.sf = MemorySystem(SF, "Hub", self.clock)
        self.hub = MemorySystem(HUB, "sf_id", self.clock)
        self.links, self.conflicts, self.broker = MemoryLinks(), MemoryConflicts(), MemoryBroker()
        self.records, self.table = Records(config(self.conflict), NAMES), Table()
        self.writer = Writer(
            sinks={"sf": self.sf, "hub": self.hub},
            links=self.links,
            conflicts=self.conflicts,
            publisher=self.broker,
            names=NAMES,
            reject_limit=100,
        )
        self.events: dict[str, list[Change]] = {"sf": [], "hub": []}
        self.commands: list[Fetched] = []

    def system(self, name: str) -> MemorySystem:
        return self.sf if name == "sf" else self.hub

    def capture(self, name: str) -> None:
        self.events[name] += self.system(name).capture()

    def map(self, name: str) -> None:
        batch = [Input("c", 0, n, b"", each.encode(), 0) for n, each in enumerate(self.events[name])]
        self.events[name] = []
        effects = self.records.run(batch, self.table)
        self.table.rows.update({k: v for k, v in effects.changes.get("records", {}).items() if v is not None})
        waiting = [output.value for output in effects.outputs if output.topic == NAMES.mapped]
        self.commands += [Fetched(Mapped.decode(value).command.encode()) for value in waiting]

    def write(self, count: int, *, redeliver: bool = False) -> None:
        """Hand over the first `count` commands; a killed or redelivered pass leaves them where they are."""
        batch = self.commands[:count]
        try:
            asyncio.run(self.writer.handle(batch))
        except Killed:
            return
        if not redeliver:
            del self.commands[:count]

    def settle(self, rounds: int = 12) -> int:
        """Until nobody has anything to say; returns how many rounds it took. Raises when it does not end."""
        for done in range(rounds):
            self.clock.second += 5
            self.capture("sf")
            self.capture("hub")
            if not (self.events["sf"] or self.events["hub"] or self.commands):
                return done
            self.map("sf")
            self.map("hub")
            self.write(len(self.commands))
        raise AssertionError(f"does not settle in {rounds} rounds")
