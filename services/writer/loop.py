"""One pass of the writer: commands in; writes, links, conflicts, results and dead letters out, a batch at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from msgspec import structs

from services.writer import plan
from services.writer.existing import existing
from services.writer.overtaken import overtaken, put_back_again
from services.writer.plan import Step
from services.writer.ports import ConflictStore, DeletionStore, LinkStore, Publishes
from services.writer.repeated import repeated
from services.writer.sinks import Saved, Sink, Written
from services.writer.watch import Doubt
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import DuplicateDetected, Fatal, RecordRejected, Transient
from syncline.contracts.link import Link
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.runtime.consume import Record
from syncline.runtime.kafka import Message

log = structlog.get_logger()

Target = tuple[str, str]
"""A system and an object of it."""
Observe = Callable[[Step, Link, Saved | None], None]
"""Told of each command that was seen through: what was done, the link after it, and what the target said."""
REFERRED_TO = ("foreign_key_violation", "DELETE_FAILED")
"""Codes of a deletion that has to wait for the deletion of other records."""
ROUNDS = 5
"""So often a pass plans rows again that were locked or changed meanwhile; then it waits and is fetched anew."""


@dataclass
class Pass:
    """What a pass has come to so far; published as one batch at its end. asked: see `plan.asked`.
    later: records that name a counterpart to which no link leads. We may have made them just before we were killed;
    then the command that made them is among those of this pass, knows more, and comes first.
    replaced: values that our writes took away, the ids of former parents among them.
    positions: where the commands of a pipeline and record were read, the last of them.
    doubt: a rejection that may not be the record's fault; then nothing is published, and the pass comes again.
    links: as they were found when repeats were looked for, until they are used."""

    asked: dict[tuple[str, Ref], list[Fields]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    again: list[Command] = field(default_factory=list)
    later: dict[Target, list[Command]] | None = field(default_factory=dict)
    blocked: list[Command] = field(default_factory=list)
    deleted: bool = False
    replaced: set[Value] = field(default_factory=set)
    positions: dict[tuple[str, Ref], str] = field(default_factory=dict)
    doubt: Doubt | None = None
    links: Mapping[tuple[Ref, Object], Link] | None = None

    def refuse(self, error: RecordRejected, record: Record) -> None:
        self.letters.append(DeadLetter.of(error, stage="writer", position=place_of(record), input=record.value))


def place_of(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


class Writer:
    """counts: outcomes by (pipeline, outcome), for metrics. `handle` is what the consumer calls. doubts: whether a
    pipeline's rejection may be the target's schema's doing."""

    def __init__(
        self,
        *,
        sinks: Mapping[str, Sink],
        links: LinkStore,
        conflicts: ConflictStore,
        deletions: DeletionStore,
        publisher: Publishes,
        names: Names,
        reject_limit: int,
        now: Callable[[], datetime],
        doubts: Callable[[str, RecordRejected], bool] = lambda *_: False,
        observe: Observe = lambda *_: None,
    ) -> None:
        self._sinks = sinks
        self._doubts = doubts
        self._links = links
        self._conflicts = conflicts
        self._deletions = deletions
        self._now = now
        self._observe = observe
        self._publisher = publisher
        self._names = names
        self._reject_limit = reject_limit
        self._rejected_in_a_row: Counter[str] = Counter()
        self._unsure: dict[Ref, list[Fields]] = {}
        """What was sent by calls whose answer was lost, until a pass is through."""
        self.counts: Counter[tuple[str, str]] = Counter()

    async def handle(self, records: Sequence[Record]) -> None:
        """Raises Transient to have the records again, Fatal when a pipeline is rejected without end, Doubt."""
        passed = Pass()
        groups: defaultdict[Target, list[tuple[Command, Record]]] = defaultdict(list)
        for record in records:
            try:
                command = Command.decode(record.value)
                if command.target.system not in self._sinks:
                    raise RecordRejected(
                        f"there is no system {command.target.system!r} to write to",
                        code="UNKNOWN_SYSTEM",
                        remedy="Add the system to pipelines.yaml, or drop the dead letter.",
                    )
                groups[command.target].append((command, record))
            except RecordRejected as error:
                passed.refuse(error, record)
        for (system, name), given in groups.items():
            if commands := await self._fresh(self._sinks[system], name, given, passed):
                await self._write(self._sinks[system], name, commands, passed)
        later, passed.later = passed.later or {}, None
        for (system, name), commands in later.items():
            await self._write(self._sinks[system], name, commands, passed)
        if passed.blocked:
            await self._deletions.block(passed.blocked)
        if passed.doubt:
            raise passed.doubt
        await self._publish(passed, await self._freed(passed))
        written = {system for system, _ in groups}
        self._unsure = {ref: sent for ref, sent in self._unsure.items() if ref.system not in written}

    async def _fresh(
        self, sink: Sink, name: str, given: Sequence[tuple[Command, Record]], passed: Pass
    ) -> list[Command]:
        """The newest of each record, in the target's own form; those that repeat what is known are done here."""
        newest = plan.newest([command for command, _ in given])
        passed.links = await self._links.find([(command.source, command.target) for command in newest])
        done = set()
        for command in newest:
            link = passed.links.get((command.source, command.target))
            if link and repeated(command, link):
                done.add((command.pipeline, command.source))
                passed.results.append(plan.settled(command, "unchanged", None, link.target.ref))
                self._rejected_in_a_row[command.pipeline] = 0
        fresh = []
        for command, record in given:
            if (record_of := (command.pipeline, command.source)) in done:
                continue
            try:
                fresh.append(structs.replace(command, fields=sink.canonical(name, command.fields)))
                passed.positions[record_of] = place_of(record)
            except RecordRejected as error:
                passed.refuse(error, record)
        passed.asked |= plan.asked(fresh)
        return plan.newest(fresh)

    async def _freed(self, passed: Pass) -> list[Command]:
        """Deletions that were blocked and may no longer be: after any other, and when something moved away."""
        blocked = await self._deletions.blocked() if passed.deleted or passed.replaced else []
        if passed.deleted or not blocked:
            return list(blocked)
        links = await self._links.find([(each.source, each.target) for each in blocked])
        return [
            each
            for each in blocked
            if (link := links.get((each.source, each.target))) and link.target.ref.id in passed.replaced
        ]

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
        now = self._now()
        steps = await self._plan(sink, name, commands, passed, now)
        # Before the write: afterwards the value that loses is nowhere else, and a crash would take it along.
        if clashes := [conflict for step in steps for conflict in plan.conflicts(step)]:
            await self._conflicts.record(clashes)
        outcomes = await self._send(sink, name, steps)
        steps = await self._give_way(sink, name, steps, outcomes, now)
        saved: dict[int, Saved] = {}
        done = []
        for step in steps:
            outcome = outcomes.get(id(step))
            if isinstance(outcome, DuplicateDetected) and len(outcome.matches) == 1 and not step.command.counterpart:
                # The target's own proposal of a match: looked at like one that the source record names.
                passed.again.append(structs.replace(step.command, counterpart=outcome.matches[0]))
            elif isinstance(outcome, RecordRejected) and step.deletes and outcome.code in REFERRED_TO:
                passed.blocked.append(step.command)
                why = "others still refer to it: tried again after the next deletion"
                passed.results.append(plan.settled(step.command, "skipped", why, None))
            elif isinstance(outcome, RecordRejected):
                self._reject(step.command, outcome, passed)
            elif isinstance(outcome, Transient):
                passed.again.append(step.command)
            else:
                done.append(step)
                if outcome:
                    saved[id(step)] = outcome
        await self._record(done, saved, passed, now)

    async def _send(self, sink: Sink, name: str, steps: Sequence[Step]) -> dict[int, Written]:
        """Outcomes by the step's id(); steps with nothing to send have none."""
        writing = [(step, write) for step in steps if (write := step.write)]
        deleting = [(step, step.link.target.ref.id) for step in steps if step.deletes and step.link]
        outcomes: dict[int, Written] = {}
        if writing:
            try:
                written = await sink.write(name, [write for _, write in writing])
            except Transient:
                for step, write in writing:
                    if write.id is not None:
                        self._unsure.setdefault(Ref(*step.command.target, write.id), []).append(write.values)
                raise
            outcomes |= {id(step): each for (step, _), each in zip(writing, written, strict=True)}
        if deleting:
            deleted = await sink.delete(name, [target for _, target in deleting])
            outcomes |= {id(step): each for (step, _), each in zip(deleting, deleted, strict=True)}
        return outcomes

    async def _give_way(
        self, sink: Sink, name: str, steps: Sequence[Step], outcomes: dict[int, Written], now: datetime
    ) -> list[Step]:
        """What somebody changed between our look and our write is recorded, and put back where it wins."""
        settled, writes, clashes = [], [], []
        for step in steps:
            outcome = outcomes.get(id(step))
            if isinstance(outcome, Saved) and (found := overtaken(step, outcome, now=now)):
                step = found.step
                outcomes[id(step)] = outcome
                clashes += found.conflicts
                writes += [found.back] if found.back else []
            settled.append(step)
        if clashes:
            await self._conflicts.record(clashes)
        for _ in range(ROUNDS):
            if not writes:
                break
            written = await sink.write(name, writes)
            pairs = zip(writes, written, strict=True)
            writes = [again for write, outcome in pairs if (again := put_back_again(write, outcome))]
        return settled

    async def _plan(
        self, sink: Sink, name: str, commands: Sequence[Command], passed: Pass, now: datetime
    ) -> list[Step]:
        links, passed.links = passed.links, None
        if links is None:
            links = await self._links.find([(command.source, command.target) for command in commands])
        steps: list[Step] = []
        changing: list[tuple[Command, Link]] = []
        unlinked: list[tuple[Command, Link | None]] = []
        deletions: list[tuple[Command, Link]] = []
        for command in commands:
            link = links.get((command.source, command.target))
            if settled := plan.settled_by_link(command, link):
                passed.results.append(plan.settled(command, *settled, link.target.ref if link else None))
                # A pass that was killed after its deletions has not freed those that they blocked.
                passed.deleted |= command.op == "delete" and link is not None and link.ended == "deleted"
            elif link is None and command.counterpart and passed.later is not None:
                passed.later.setdefault((command.target.system, name), []).append(command)
            elif link is None or link.ended:
                unlinked.append((command, link))
            elif command.op == "delete":
                deletions.append((command, link))
            elif plan.news(command, link):
                changing.append((command, link))
            else:
                steps.append(Step(command, link))
        ending: list[tuple[Command, Link]] = []
        for command, link in await self._consented(deletions, passed):
            if command.on_delete == "delete":
                ending.append((command, link))
            elif plan.news(command, link):  # what a deactivated record holds
                changing.append((command, link))
            else:
                steps.append(Step(command, link))
        if ending:
            known = {field for _, link in ending for field in link.target.known}
            presents = await sink.read(name, [link.target.ref.id for _, link in ending], known)
            steps += [plan.deleted(command, link, presents.get(link.target.ref.id)) for command, link in ending]
        if changing:
            reading = {each for command, link in changing for each in (*plan.news(command, link), *command.derived)}
            presents = await sink.read(name, [link.target.ref.id for _, link in changing], reading)
            for command, link in changing:
                if present := presents.get(link.target.ref.id):
                    unsure = self._unsure.get(link.target.ref, ())
                    steps.append(plan.patched(command, link, present, unsure, now=now))
                else:
                    gone = f"{link.target.ref} was deleted and is not made again"
                    passed.results.append(plan.settled(command, "skipped", gone, link.target.ref))
        if unlinked:
            found = await existing([command for command, _ in unlinked], name, sink, self._links)
            for (command, ended), record in zip(unlinked, found, strict=True):
                if isinstance(record, RecordRejected):
                    self._reject(command, record, passed)
                    continue
                asked = passed.asked[command.pipeline, command.source]
                step = plan.patched(command, None, record, asked, now=now) if record else plan.created(command)
                steps.append(replace(step, revives=ended))
        return steps

    async def _consented(self, deletions: Sequence[tuple[Command, Link]], passed: Pass) -> list[tuple[Command, Link]]:
        """Those that may be carried out; the others are kept by the store and said to wait."""
        claimed = await self._deletions.claim([command for command, _ in deletions]) if deletions else []
        for (command, link), may in zip(deletions, claimed, strict=True):
            if not may:
                why = "more deletions than delete_limit in an hour: see `syncline deletions list`"
                passed.results.append(plan.settled(command, "skipped", why, link.target.ref))
        return [each for each, may in zip(deletions, claimed, strict=True) if may]

    async def _record(self, steps: Sequence[Step], saved: Mapping[int, Saved], passed: Pass, now: datetime) -> None:
        """Links before results: a result says that the pair is safely known."""
        concluded = [(step, plan.concluded(step, saved.get(id(step)), now=now)) for step in steps]
        moved = [(step, link) for step, link in concluded if link != step.link]
        outcomes = await self._links.save([link for _, link in moved]) if moved else []
        kept = {id(step): outcome for (step, _), outcome in zip(moved, outcomes, strict=True)}
        paused: list[Conflict] = []
        for step, link in concluded:
            if not kept.get(id(step), True):
                passed.again.append(step.command)
                continue
            self._rejected_in_a_row[step.command.pipeline] = 0
            passed.results.append(plan.result(step, link, saved.get(id(step))))
            self._observe(step, link, saved.get(id(step)))
            passed.deleted |= step.deletes
            if step.present and id(step) in saved:
                passed.replaced |= {step.present.values.get(each) for each in step.patch or ()}
            paused += plan.unsettled(step, link)
        if paused:
            await self._conflicts.record(paused)

    def _reject(self, command: Command, error: RecordRejected, passed: Pass) -> None:
        if self._doubts(command.pipeline, error):
            passed.doubt = Doubt(command.pipeline, error)
            return
        self._rejected_in_a_row[command.pipeline] += 1
        passed.letters.append(
            DeadLetter.of(
                error,
                stage="writer",
                position=passed.positions[command.pipeline, command.source],
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

    async def _publish(self, passed: Pass, commands: Sequence[Command] = ()) -> None:
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
                *(
                    Message(self._names.commands(command.target.system), str(command.source).encode(), command.encode())
                    for command in commands
                ),
            ]
        )
        passed.results, passed.letters = [], []
