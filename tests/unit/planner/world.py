"""The writer's world of two systems in memory, with a past that can be planned and replayed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.mapper.engine import Input
from services.planner.entry import Entry
from services.planner.flow import Flow, Now
from services.planner.price import Free
from services.planner.store import Scratch, Stored
from services.writer.sinks import Saved, Write, Written
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.ref import Ref, Value
from syncline.contracts.replay import Replay
from syncline.state.deletions import Foreseen
from tests.unit.writer.world import NAMES, Clock, MemoryDeletions, MemorySystem, World

Wrote = tuple[str, str, str, Value, Value]
"""Record at the target, op, field, old and new value."""


class ForeseenDeletions(MemoryDeletions):
    async def foresee(self, commands: Sequence[Command]) -> list[Foreseen]:
        return [Foreseen("blocked" if each in self.kept else None, 0) for each in commands]


class Watched(MemorySystem):
    """Notes what is written through its sink."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name, clock)
        self.wrote: list[Wrote] = []

    def _write(self, name: str, write: Write) -> Written:
        before = self.records.get((name, str(write.id)))
        held = dict(before.values) if before else {}
        outcome = super()._write(name, write)
        if isinstance(outcome, Saved):
            ref, op = str(Ref(self.name, name, outcome.id)), "create" if outcome.created else "update"
            values = write.values | dict([write.key] if write.key else [])
            self.wrote += [(ref, op, each, held.get(each), value) for each, value in values.items()]
        return outcome

    def _delete(self, name: str, id: str) -> Written:
        outcome = super()._delete(name, id)
        if isinstance(outcome, Saved):  # also of a record that went with its parent
            self.wrote.append((str(Ref(self.name, name, id)), "delete", "", None, None))
        return outcome


class Past(World):
    """Remembers every change that was captured, as the topics do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.watched = Watched("sf", self.clock), Watched("hub", self.clock)
        self.sf, self.hub = self.watched
        self.deletions = self.foreseen = ForeseenDeletions()
        self.past: list[Change] = []
        self.use(self.configured)

    def map(self, name: str) -> None:
        self.past += self.events[name]
        super().map(name)

    def rest(self) -> None:
        """Until nothing is on its way; what nobody has captured yet stays so."""
        self.links.crash = False
        self.sf.meanwhile, self.hub.meanwhile = [], []
        for _ in range(50):
            if not (self.events["sf"] or self.events["hub"] or self.commands):
                return
            for name in ("sf", "hub"):
                self.map(name)
            self.write(len(self.commands))
        raise AssertionError("does not come to rest")

    def inputs(self) -> list[Input]:
        headers = Replay(kept=True).headers
        return [
            Input(NAMES.replay, 0, at, change.ref.id.encode(), change.encode(), 0, headers)
            for at, change in enumerate(self.past)
        ]

    def hide(self) -> None:
        """What people did that was not captured stays unseen, until somebody writes the record again."""
        for system in self.watched:
            system.captured |= {place: row.version + str(row.gone) for place, row in system.records.items()}

    def replay(self, at_once: int) -> None:
        """Every change once more, the writer taking so many commands in a pass, until nothing moves any more."""
        for system in self.watched:
            system.wrote.clear()
        effects = self.records.run(self.inputs(), self.tables)
        self.tables.apply(effects.changes)
        joined = [each for each in effects.outputs if each.topic in (NAMES.mapped, NAMES.results)]
        self._run(self.join, [(each.topic, each.key, each.value) for each in joined])
        for _ in range(1_000):
            if not self.commands:
                break
            self.write(at_once)
        self.settle()

    def refused(self, results: int) -> set[str]:
        """Source records that the target itself refused after so many results, and those that wait for them."""
        held = (key.split(b"\0") for key in self.tables.rows["held"])
        waiting = {parts[1].decode() for parts in held if len(parts) > 2}
        fresh = self.results[results:]
        by_target = {str(each.source) for each in fresh if each.outcome == "rejected"}
        blocked = {str(each.source) for each in fresh if each.reason and "still refer to it" in each.reason}
        deleted = {str(each.source) for each in fresh if each.reason == "deleted"}
        return (waiting | by_target | blocked) - deleted

    def state(self) -> Any:
        """All that a plan must leave as it is."""
        both = [self.sf.records, self.hub.records]
        kept = [self.links.stored, self.conflicts.rows, self.deletions.kept, self.deletions.waiting]
        return copy.deepcopy([both, kept, self.tables.rows, self.commands, len(self.results), len(self.letters)])


class Planned:
    """A plan of the whole past by a configuration, held in a folder until `close`."""

    def __init__(self, world: Past, configured: Config, most: int = 2_000) -> None:
        self._folder = TemporaryDirectory()
        self._scratch = Scratch(Path(self._folder.name))
        stored = Stored(self._scratch)
        for table, rows in world.tables.rows.items():
            stored.add(table, ((key, value, 0) for key, value in rows.items()))
        now = Now(
            names=NAMES,
            partitions=1,
            most=most,
            stored=stored,
            load=self._load,
            links=world.links,
            deletions=world.foreseen,
            clock=lambda: world.clock.now,
        )
        sinks = {"sf": world.sf, "hub": world.hub}
        self.flow = Flow("new", configured, now, self._scratch, sinks, dict.fromkeys(sinks, Free()))
        asyncio.run(self._make(world))
        self.entries: list[Entry] = list(self.flow.ledger)

    async def _load(self, numbers: Any) -> None:
        pass

    async def _make(self, world: Past) -> None:
        await self.flow.feed(world.inputs())
        await self.flow.finish()

    def close(self) -> None:
        self._scratch.close()
        self._folder.cleanup()

    def writes(self, world: Past) -> Iterator[tuple[Ref, Wrote]]:
        """By source record, with the ids that the records got which were to be made."""
        made = {}
        for entry in self.entries:
            if entry.op == "create" and (link := world.links.of(entry.record, entry.target.kind)):
                made[entry.target.id] = link.target.ref.id
        for entry in self.entries:
            ref = entry.target._replace(id=made.get(entry.target.id, entry.target.id))
            if entry.op == "delete":
                yield entry.record, (str(ref), "delete", "", None, None)
            for each in entry.fields:
                new = made.get(each.new, each.new) if isinstance(each.new, str) else each.new
                if entry.op not in ("keep", "delete"):
                    yield entry.record, (str(ref), entry.op, each.name, each.old, new)
