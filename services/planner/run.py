"""Opening what a plan reads, and making it. Nothing here writes, takes part in a group, or claims anything."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.planner.changelogs import Changelogs, known, replayed
from services.planner.changes import selected
from services.planner.difference import Difference, differences
from services.planner.entry import Entry
from services.planner.flow import Flow, Now
from services.planner.price import Meter, Price, SalesforceMeter, meter, priced
from services.planner.store import Scratch, Stored
from services.writer.opening import open_sink
from services.writer.sinks import Sink
from syncline.config.checks import check, placeholders, refuse
from syncline.config.model import Config, StreamSystem
from syncline.config.settings import Settings
from syncline.contracts.change import Change
from syncline.contracts.ref import Object, Ref
from syncline.replay.selection import Selection
from syncline.runtime.lag import Group, groups
from syncline.runtime.scan import Progress, reader
from syncline.state.database import check_migrated, connect
from syncline.state.deletions import Deletions
from syncline.state.links import Links
from syncline.systems.catalogs import catalogs
from syncline.timeline.read import check as check_topics


@dataclass(frozen=True, slots=True)
class Plan:
    """prices: of the systems that count calls. behind: the services' groups as the plan began."""

    at: datetime
    flow: Flow
    prices: Mapping[str, Price]
    behind: list[Group]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.flow.ledger)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of a new mapping with the present one. records: how many were played through both. lacking: fields that the new
    one reads of an object, and of how many records they were never captured; streamed: the objects among them that are
    not asked for, but send by themselves."""

    new: Plan
    present: Plan
    records: int
    lacking: Counter[tuple[Object, str]]
    streamed: frozenset[Object]

    def __iter__(self) -> Iterator[Difference]:
        return differences(self.new.flow.ledger.groups(), self.present.flow.ledger.groups())


@dataclass
class Desk:
    """What the plans of one command share. consumer: for changes; the changelogs have their own."""

    stack: AsyncExitStack
    scratch: Scratch
    stored: Stored
    changelogs: Changelogs
    consumer: Any
    now: Now
    behind: list[Group]
    rng: random.Random

    async def flow(self, name: str, config: Config) -> tuple[Flow, dict[str, Meter]]:
        """By a configuration that the writer would take as well. Raises Transient, Fatal."""
        refuse(placeholders(config))
        refuse(check(config, await catalogs(config, rng=self.rng)))
        sinks: dict[str, Sink] = {
            system: await open_sink(config, system, self.stack, self.rng) for system in config.targets
        }
        meters = {system: meter(sink) for system, sink in sinks.items()}
        return Flow(name, config, self.now, self.scratch, sinks, meters), meters

    async def done(self, flow: Flow, config: Config, meters: Mapping[str, Meter]) -> Plan:
        await flow.finish()
        prices = {}
        for system, each in meters.items():
            if isinstance(each, SalesforceMeter):
                described = sum(kind.system == system for kind in _kinds(config))
                sink = flow.sinks[system]
                prices[system] = await priced(sink.reads, sink.calls.total(), each, described)
        return Plan(self.now.clock(), flow, prices, self.behind)


@asynccontextmanager
async def planned(
    settings: Settings, config: Config, selection: Selection, *, progress: Progress
) -> AsyncIterator[Plan]:
    """What a replay of these changes would write. Raises Transient, Fatal."""
    async with _desk(settings, config, progress) as at:
        flow, meters = await at.flow("replay", config)
        async for part in selected(at.consumer, selection, settings, progress=progress):
            await flow.feed(part)
        yield await at.done(flow, config, meters)


@asynccontextmanager
async def compared(
    settings: Settings, present: Config, new: Config, selection: Selection, *, progress: Progress
) -> AsyncIterator[Comparison]:
    """What a new mapping makes of every record that the mapper knows (of the selection's objects, records and
    pipelines), and what the present one makes of them. Raises Transient, Fatal."""
    async with _desk(settings, present, progress) as at:
        flows = {"new": (new, *await at.flow("new", new)), "present": (present, *await at.flow("present", present))}
        await at.changelogs.load(range(settings.partitions))
        lacking: Counter[tuple[Object, str]] = Counter()
        count = 0
        for name, (config, flow, _) in flows.items():
            read = set(config.sources) & set(selection.kinds)
            for part in replayed(
                _records(at.stored, read, selection.refs, new, lacking if name == "new" else Counter()),
                settings.names.replay,
                selection.replay,
            ):
                count += len(part) if name == "new" else 0
                await flow.feed(part)
        plans = {name: await at.done(flow, config, meters) for name, (config, flow, meters) in flows.items()}
        streamed = frozenset(kind for kind, _ in lacking if isinstance(new.systems[kind.system], StreamSystem))
        yield Comparison(plans["new"], plans["present"], count, lacking, streamed)


def _records(
    stored: Stored,
    kinds: set[Object],
    refs: frozenset[Ref] | None,
    config: Config,
    lacking: Counter[tuple[Object, str]],
) -> Iterator[Change]:
    reads = {kind: config.reads(kind) for kind in kinds}
    for ref, fields, change in known(stored, lambda ref: ref.kind in kinds and (refs is None or ref in refs)):
        if change.op != "delete":
            lacking.update((ref.kind, field) for field in reads[ref.kind] - fields.keys())
        yield change


def _kinds(config: Config) -> set[Object]:
    return {side for pipeline in config.pipelines.values() for side in (pipeline.from_, pipeline.to)}


@asynccontextmanager
async def _desk(settings: Settings, config: Config, progress: Progress) -> AsyncIterator[Desk]:
    names = settings.names
    await check_topics(settings, config)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(connect(settings.database_url, application="syncline-plan", size=2))
        await check_migrated(pool)
        reads = {
            names.mapper: [*map(names.changes, config.sources), names.replay, names.mapped, names.results],
            names.writer: [*map(names.commands, config.targets)],
        }
        behind = await groups(settings.kafka, reads, partitions=settings.partitions)
        consumer, looking = [await stack.enter_async_context(reader(settings.kafka)) for _ in range(2)]
        scratch = Scratch(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncline-plan-"))))
        stack.callback(scratch.close)
        stored = Stored(scratch)
        changelogs = Changelogs(looking, names, settings.partitions, stored, progress)
        now = Now(
            names=names,
            partitions=settings.partitions,
            most=settings.writer_batch,
            stored=stored,
            load=changelogs.load,
            links=Links(pool),
            deletions=Deletions(pool),
            clock=lambda: datetime.now(UTC),
        )
        yield Desk(stack, scratch, stored, changelogs, consumer, now, behind, random.SystemRandom())
