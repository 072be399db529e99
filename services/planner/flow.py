"""Changes through both hops and the writer, round by round until nothing moves; what Kafka carries goes from hand to
hand."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from services.mapper.engine import Effects, Input, Output
from services.mapper.join import HELD, Join
from services.mapper.records import Records
from services.planner.deletions import PlannedDeletions, StoredDeletions
from services.planner.entry import Entry, entries
from services.planner.ledger import Ledger
from services.planner.links import PlannedLinks, StoredLinks
from services.planner.price import Meter
from services.planner.sink import PlannedSink
from services.planner.store import NoRows, Overlay, Scratch, Stored
from services.writer.loop import Writer
from services.writer.plan import Step
from services.writer.sinks import Present, Saved, Sink
from syncline.config.model import Config
from syncline.contracts.change import Change, Op
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import Names
from syncline.oncall.report import Report
from syncline.runtime.kafka import Message, partition_of
from syncline.timeline.held import Slot

Load = Callable[[Collection[int]], Awaitable[None]]
"""Makes the rows of these partitions of the mapper's tables be there."""


@dataclass(frozen=True, slots=True)
class Now:
    """What there is. most: commands in one pass of the writer."""

    names: Names
    partitions: int
    most: int
    stored: Stored
    load: Load
    links: StoredLinks
    deletions: StoredDeletions
    clock: Callable[[], datetime]


@dataclass
class Tally:
    """What a plan comes to, besides its entries. report: results as the writer would publish them. asked: records that
    would be asked for and that a plan cannot read. letters: by stage and code; examples: the first of each. conflicts:
    those that would be recorded, held: commands that would wait, by pipeline."""

    report: Report = field(default_factory=Report)
    entries: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], DeadLetter] = field(default_factory=dict)
    conflicts: int = 0
    asked: int = 0
    changes: int = 0

    def add(self, entry: Entry) -> None:
        self.entries[entry.op] += 1
        self.why.update(each.why for each in entry.fields)

    def refuse(self, letter: DeadLetter) -> None:
        self.letters[letter.stage, letter.code] += 1
        self.examples.setdefault((letter.stage, letter.code), letter)


class Flow:
    """A plan by one configuration. `name` tells plans apart that share the scratch."""

    def __init__(
        self,
        name: str,
        config: Config,
        now: Now,
        scratch: Scratch,
        sinks: Mapping[str, Sink],
        meters: Mapping[str, Meter],
    ) -> None:
        self._now = now
        self._names = now.names
        self._config = config
        self._readable = {pipeline.to for pipeline in config.pipelines.values()} & set(config.sources)
        self.ledger = Ledger(scratch, name)
        self.tally = Tally()
        self._tables = Overlay(now.stored, scratch, f"{name}.tables")
        planned = Overlay(NoRows(), scratch, f"{name}.state")
        numbers = count(1)
        self.sinks = {
            system: PlannedSink(system, sink, planned, numbers, meters[system], now.clock)
            for system, sink in sinks.items()
        }
        self._mapper, self._join = Records(config, now.names), Join(now.names)
        self._writer = Writer(
            sinks=self.sinks,
            links=PlannedLinks(now.links, planned),
            conflicts=self,
            deletions=PlannedDeletions(now.deletions, planned),
            publisher=self,
            names=now.names,
            reject_limit=sys.maxsize,  # where the writer would stop, the plan goes on and says how many there are
            now=now.clock,
            witness=self._witness,
        )
        self._joining: list[Input] = []
        self._commands: list[Input] = []
        self._asked: list[Ref] = []

    async def feed(self, changes: Sequence[Any]) -> None:
        """Messages of the topic `replay`, in their order."""
        self.tally.changes += len(changes)
        await self._now.load({record.partition for record in changes})
        self._take(self._mapper.run(changes, self._tables))
        await self._go_on(self._now.most)
        await self._echo()

    async def finish(self) -> None:
        """Everything that is still on its way, and what comes back of it."""
        await self._go_on(1)
        while await self._echo():
            await self._go_on(1)
        for key, _ in self._tables.own(HELD):
            if slot := Slot.parse(key):
                self.tally.held[slot.pipeline] += 1

    async def _go_on(self, least: int) -> None:
        """Until fewer than `least` commands wait for a pass of the writer."""
        while True:
            while self._joining:
                batch, self._joining = self._joining, []
                await self._now.load({record.partition for record in batch})
                self._take(self._join.run(batch, self._tables))
            if len(self._commands) < least:
                return
            most = self._now.most
            batch, self._commands = self._commands[:most], self._commands[most:]
            for sink in self.sinks.values():
                sink.begin()
            await self._writer.handle(batch)

    async def _echo(self) -> int:
        """What was written is captured like any change, whole: mostly no news, but for a field that only the way back
        maps, and for a value that somebody changed unseen. Returns how many there were."""
        count = await self._answer()
        for system, sink in self.sinks.items():
            for name, ids in sink.touched().items():
                kind = Object(system, name)
                if kind in self._config.sources:
                    presents = await sink.read(name, ids, self._config.reads(kind))
                    events = [_event(Ref(*kind, each), presents.get(each), sink.version(name, each)) for each in ids]
                    count += len(events)
                    await self._captured(events)
        return count

    async def _answer(self) -> int:
        """As the poller answers requests, where the record's system is one that is written to as well: the others are
        counted. Returns how many were read."""
        asked, self._asked = list(dict.fromkeys(self._asked)), []
        kinds: dict[Object, list[str]] = {}
        for ref in asked:
            kinds.setdefault(ref.kind, []).append(ref.id)
        count = 0
        for kind, ids in kinds.items():
            presents: Mapping[str, Present] = {}
            if kind in self._readable:
                presents = await self.sinks[kind.system].read(kind.name, ids, self._config.reads(kind))
            snapshots = [_event(Ref(*kind, each.id), each, each.version, "snapshot") for each in presents.values()]
            self.tally.asked += len(ids) - len(snapshots)
            count += len(snapshots)
            await self._captured(snapshots)
        return count

    async def _captured(self, events: Sequence[Change]) -> None:
        records = [
            Input(self._names.changes(each.ref.kind), number, 0, key, each.encode(), 0)
            for each in events
            for key in (each.ref.id.encode(),)
            for number in (partition_of(key, self._now.partitions),)
        ]
        await self._now.load({record.partition for record in records})
        self._take(self._mapper.run(records, self._tables))

    def _take(self, effects: Effects) -> None:
        self._tables.apply(effects.changes)
        for output in effects.outputs:
            self._route(output)

    def _route(self, message: Output | Message) -> None:
        names = self._names
        number = partition_of(message.key, self._now.partitions)
        at = int(self._now.clock().timestamp() * 1000)
        record = Input(message.topic, number, 0, message.key, message.value, at)
        if message.topic == names.mapped:
            self._joining.append(record)
        elif message.topic == names.results:
            self._joining.append(record)
            self.tally.report.add([record])
        elif message.topic == names.requests:
            self._asked.append(Request.decode(message.value).ref)
        elif message.topic == names.dead_letters:
            self.tally.refuse(DeadLetter.decode(message.value))
        else:
            self._commands.append(record)

    async def publish(self, messages: Iterable[Message]) -> None:
        """In the place of the writer's publisher."""
        for message in messages:
            self._route(message)

    async def record(self, rows: Sequence[Conflict]) -> None:
        """In the place of the store of conflicts."""
        self.tally.conflicts += len(rows)

    def _witness(self, step: Step, link: Link, saved: Saved | None) -> None:
        for entry in entries(step, link, saved):
            self.tally.add(entry)
            self.ledger.add(entry)


def _event(ref: Ref, present: Present | None, version: str, op: Op = "update") -> Change:
    """As the poller would publish it; None for a record that is gone."""
    op = op if present else "delete"
    fields, time = (present.values, present.time) if present else ({}, "")
    return Change(ref=ref, instance="plan", op=op, version=version, time=time, fields=fields)
