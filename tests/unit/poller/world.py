"""A source, a broker and a state schema in memory, with the order of what was done to them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from services.poller.loop import Loop
from services.poller.metrics import Metrics
from services.poller.resync import Resyncing
from services.poller.sources import Fetched, Page, Position
from syncline.contracts.change import Change
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.topics import Names
from syncline.replay.window import Window
from syncline.runtime.kafka import Headers, Message
from syncline.state.leases import Lease
from syncline.state.resyncs import Resync, Step

COMPANY = Object("hub", "company")
CUSTOMER = Object("hub", "customer")
NAMES = Names("test")
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def change(key: str = "1", *, kind: Object = COMPANY, fields: Fields | None = None) -> Change:
    return Change(
        ref=Ref(*kind, key),
        instance="main",
        op="update",
        version="00000000000000000001",
        time="2026-11-20T09:59:00.000Z",
        fields={"name": "Acme"} if fields is None else fields,
    )


class NoWaiting(random.Random):
    """Backoff without any time."""

    def uniform(self, a: float, b: float) -> float:
        return a


@dataclass
class Scripted:
    """Gives its pages one by one, each once; an exception among them is raised in its turn."""

    kind: Object = COMPANY
    script: list[Page | Exception] = field(default_factory=list)
    records: dict[str, Change] = field(default_factory=dict)
    interval: float = 0
    asked: list[list[str]] = field(default_factory=list)
    at: list[Position | None] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Exception | None = None
    whole: list[Page] = field(default_factory=list)
    asked_again: list[tuple[Position | None, datetime | None]] = field(default_factory=list)

    async def pages(self, position: Position | None) -> AsyncGenerator[Page, None]:
        self.at.append(position)
        while self.script:
            step = self.script[0]
            if isinstance(step, Exception):
                del self.script[0]
                raise step
            yield step
            del self.script[0]

    async def again(self, position: Position | None, since: datetime | None) -> AsyncGenerator[Page, None]:
        self.asked_again.append((position, since))
        positions = [page.position for page in self.whole]
        for page in self.whole[positions.index(position) + 1 if position else 0 :]:
            yield page

    async def fetch(self, ids: Collection[str]) -> Fetched:
        self.asked.append(list(ids))
        if self.refusal:
            raise self.refusal
        return Fetched(
            [self.records[each] for each in ids if each in self.records], [i for i in ids if i not in self.records]
        )

    async def wait(self, seconds: float) -> None:
        if not self.script:
            self.idle.set()
            await asyncio.Event().wait()


@dataclass
class Outside:
    """Broker and cursors; `done` tells in which order. Exceptions in `trouble` are raised by the next publishes or
    stores, None lets one pass."""

    done: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    positions: dict[Object, Position] = field(default_factory=dict)
    publish_trouble: list[Exception | None] = field(default_factory=list)
    store_trouble: list[Exception | None] = field(default_factory=list)

    headers: list[Headers] = field(default_factory=list)
    resyncs: list[Resync] = field(default_factory=list)

    async def publish(self, messages: Iterable[Message], headers: Headers = ()) -> None:
        _raise(self.publish_trouble)
        sent = list(messages)
        self.messages += sent
        self.headers += [headers] * len(sent)
        self.done += [f"published {message.key.decode()}" for message in sent]

    async def load(self, kind: Object) -> Position | None:
        return self.positions.get(kind)

    async def store(self, lease: Lease, position: Position) -> None:
        _raise(self.store_trouble)
        self.positions[lease.kind] = position
        self.done.append(f"stored {position}")

    async def next(self, kind: Object) -> Resync | None:
        return next((each for each in self.resyncs if each.wanted.kind == kind and not each.done_at), None)

    async def store_step(self, lease: Lease, resync: Resync, step: Step) -> None:
        _raise(self.store_trouble)
        self.done.append(f"resynced {step.position}")
        at = self.resyncs.index(resync)
        self.resyncs[at] = replace(
            resync,
            position=step.position,
            read=resync.read + step.read,
            remaining=step.remaining,
            missing=step.missing,
            why=step.why,
            done_at=NOW if step.done else None,
        )

    def events(self) -> list[Change]:
        return [Change.decode(m.value) for m in self.messages if m.topic != NAMES.dead_letters]

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(m.value) for m in self.messages if m.topic == NAMES.dead_letters]


def _raise(trouble: list[Exception | None]) -> None:
    if trouble and (error := trouble.pop(0)):
        raise error


@dataclass
class Stored:
    """The resyncs of a state schema, whose cursors have a `store` of their own."""

    outside: Outside

    async def next(self, kind: Object) -> Resync | None:
        return await self.outside.next(kind)

    async def store(self, lease: Lease, resync: Resync, step: Step) -> None:
        await self.outside.store_step(lease, resync, step)


@dataclass
class World:
    sources: list[Scripted]
    outside: Outside = field(default_factory=Outside)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)
        self.loop = Loop(
            {source.kind: source for source in self.sources},
            self.outside,
            self.outside,
            NAMES,
            self.metrics,
            resyncing=Resyncing(Stored(self.outside), self.outside, NAMES, Window(self.look, 2_000)),
            now=lambda: NOW,
            rng=NoWaiting(),
        )

    async def look(self) -> int:
        return self.under_way

    async def read(self, source: Scripted) -> None:
        """As long as its script has steps, and a resync that has room is not done."""
        reading = asyncio.create_task(self.loop.read(Lease(source.kind, 1), self.stop))
        idle = asyncio.create_task(source.idle.wait())
        await asyncio.wait({reading, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        while not (reading.done() or self.under_way) and await self.outside.next(source.kind):
            await asyncio.sleep(0)
        self.stop.set()
        await reading

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(
            f"syncline_poller_{name}", {"system": "hub", "object": "company", **labels}
        )
