"""One pass of the writer: commands in; writes, links, conflicts, results and dead letters out, a batch at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from services.writer import plan
from services.writer.existing import existing
from services.writer.plan import Step
from services.writer.ports import ConflictStore, LinkStore, Publishes
from services.writer.sinks import Saved, Sink
from syncline.contracts.command import Command
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.link import Link
from syncline.contracts.ref import Fields, Ref
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.runtime.consume import Record
from syncline.runtime.kafka import Message

log = structlog.get_logger()

ROUNDS = 5
"""So often a pass plans rows again that were locked or changed meanwhile; then it waits and is fetched anew."""


@dataclass
class Pass:
    """What a pass has come to so far; published as one batch at its end. asked: see `plan.asked`."""

    asked: dict[tuple[str, Ref], list[Fields]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    again: list[Command] = field(default_factory=list)


class Writer:
    """counts: outcomes by (pipeline, outcome), for metrics. `handle` is what the consumer calls."""

    def __init__(
        self,
        *,
        sinks: Mapping[str, Sink],
        links: LinkStore,
        conflicts: ConflictStore,
        publisher: Publishes,
        names: Names,
        reject_limit: int,
    ) -> None:
        self._sinks = sinks
        self._links = links
        self._conflicts = conflicts
        self._publisher = publisher
        self._names = names
        self._reject_limit = reject_limit
        self._rejected_in_a_row: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()

    async def handle(self, records: Sequence[Record]) -> None:
        """Raises Transient to have the records again, Fatal when a pipeline is rejected without end."""
        passed = Pass()
        groups: defaultdict[tuple[str, str], list[Command]] = defaultdict(list)
        for record in records:
            try:
                command = Command.decode(record.value)
                sink = self._sinks.get(command.target.system)
                if sink is None:
                    raise RecordRejected(
                        f"there is no system {command.target.system!r} to write to",
                        code="UNKNOWN_SYSTEM",
                        remedy="Add the system to pipelines.yaml, or drop the dead letter.",
                    )
                canonical = replace(command, fields=sink.canonical(command.target.name, command.fields))
                groups[command.target.system, command.target.name].append(canonical)
            except RecordRejected as error:
                position = f"{record.topic}/{record.partition}/{record.offset}"
                passed.letters.append(DeadLetter.of(error, stage="writer", position=position, input=record.value))
        for (system, name), commands in groups.items():
            passed.asked |= plan.asked(commands)
            await self._write(self._sinks[system], name, plan.newest(commands), passed)
        await self._publish(passed)

    async def _write(self, sink: Sink, name: str, commands: list[Command], passed: Pass) -> None:
        for _ in range(ROUNDS):
            passed.again = []
            await self._round(sink, name, commands, passed)
            if not passed.again:
                return
            commands = passed.again
        await self._publish(passed)
        raise Transient(f"{len(commands)} records of {name} stay locked or keep changing")

    async def _round(self, sink: Sink, name: str, commands: Sequence[Command], passed: Pass) -> None:
        steps = await self._plan(sink, name, commands, passed)
        # Before the write: afterwards the value that loses is nowhere else, and a crash would take it along.
        if clashes := [conflict for step in steps for conflict in plan.conflicts(step)]:
            await self._conflicts.record(clashes)
        writing = [(step, write) for step in steps if (write := step.write)]
        outcomes = await sink.write(name, [write for _, write in writing]) if writing else []
        saved: dict[int, Saved] = {}
        failed: set[int] = set()
        for (step, _), outcome in zip(writing, outcomes, strict=True):
            if isinstance(outcome, Saved):
                saved[id(step)] = outcome
                continue
            failed.add(id(step))
            if isinstance(outcome, RecordRejected):
                self._reject(step.command, outcome, passed)
            else:
                passed.again.append(step.command)
        await self._record([step for step in steps if id(step) not in failed], saved, passed)

    async def _plan(self, sink: Sink, name: str, commands: Sequence[Command], passed: Pass) -> list[Step]:
        links = await self._links.find([(command.source, command.target) for command in commands])
        steps: list[Step] = []
        changing: list[tuple[Command, Link]] = []
        unlinked: list[Command] = []
        reading: set[str] = set()
        for command in commands:
            link = links.get((command.source, command.target))
            if link is None:
                if command.creates:
                    unlinked.append(command)
                else:
                    passed.results.append(plan.settled(command, "skipped", "the record is not linked", None))
                continue
            news = plan.news(command, link)
            if isinstance(news, str):
                passed.results.append(plan.settled(command, "skipped", news, link.target.ref))
            elif news:
                changing.append((command, link))
                reading |= news.keys()
            else:
                steps.append(Step(command, link))
        if changing:
            presents = await sink.read(name, [link.target.ref.id for _, link in changing], reading)
            for command, link in changing:
                if present := presents.get(link.target.ref.id):
                    steps.append(plan.patched(command, link, present))
                else:
                    gone = f"{link.target.ref} was deleted and is not made again"
                    passed.results.append(plan.settled(command, "skipped", gone, link.target.ref))
        if unlinked:
            found = await existing(unlinked, name, sink, self._links)
            for command, record in zip(unlinked, found, strict=True):
                if isinstance(record, RecordRejected):
                    self._reject(command, record, passed)
                else:
                    asked = passed.asked[command.pipeline, command.source]
                    steps.append(plan.patched(command, None, record, asked) if record else plan.created(command))
        return steps

    async def _record(self, steps: Sequence[Step], saved: Mapping[int, Saved], passed: Pass) -> None:
        """Links before results: a result says that the pair is safely known."""
        concluded = [(step, plan.concluded(step, saved.get(id(step)))) for step in steps]
        moved = [(step, link) for step, link in concluded if link != step.link]
        kept = dict(
            zip((id(step) for step, _ in moved), await self._links.save([link for _, link in moved]), strict=True)
            if moved
            else ()
        )
        for step, link in concluded:
            if not kept.get(id(step), True):
                passed.again.append(step.command)
                continue
            self._rejected_in_a_row[step.command.pipeline] = 0
            passed.results.append(plan.result(step, link, saved.get(id(step))))

    def _reject(self, command: Command, error: RecordRejected, passed: Pass) -> None:
        self._rejected_in_a_row[command.pipeline] += 1
        passed.letters.append(
            DeadLetter.of(
                error,
                stage="writer",
                position=command.id,
                input=command.encode(),
                ref=str(command.source),
                pipeline=command.pipeline,
            )
        )
        passed.results.append(plan.settled(command, "rejected", f"{error.code}: {error}", None))
        log.warning("rejected", pipeline=command.pipeline, record=str(command.source), code=error.code, why=str(error))
        if self._rejected_in_a_row[command.pipeline] >= self._reject_limit:
            raise Fatal(
                f"{command.pipeline}: {self._reject_limit} rejects in a row, the last: {error.code}: {error}. "
                "The topic is not drained into the dead letters: mend the cause and restart"
            )

    async def _publish(self, passed: Pass) -> None:
        for result in passed.results:
            self.counts[result.pipeline, result.outcome] += 1
        await self._publisher.publish(
            [
                *(
                    Message(self._names.results, key, encoded)
                    for result in passed.results
                    for encoded in (result.encode(),)
                    for key in result.message_keys()
                ),
                *(Message(self._names.dead_letters, letter.key, letter.encode()) for letter in passed.letters),
            ]
        )
        passed.results, passed.letters = [], []
