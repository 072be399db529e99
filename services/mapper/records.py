"""The first hop, pure: changes become the whole record, and the record a command for each pipeline that wants it.

Table `records`: record -> version, fields, deleted, affinity, and whether a pipeline could not convert it. It merges
deltas, so that filters and transforms always see the whole record; it drops repeats and stale versions; it knows the
former parent, so that the old one hears of a move; and it keeps all commands of a record in one partition of the
writer, that of its first parent.

What comes by the topic `replay` is driven through though it repeats what is known; what came live always stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from services.mapper.engine import Effects, Input, Output, Reader, View
from services.mapper.mapped import Head, Mapped, Wait
from syncline.config.model import Config, Deactivate, Pipeline
from syncline.contracts.change import Change
from syncline.contracts.command import Command, OnDelete, command_id
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.contracts.replay import Replay
from syncline.contracts.request import Request
from syncline.contracts.result import Outcome, Result
from syncline.contracts.topics import EVENT_BYTES, Names
from syncline.mapping import Transformer

RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Link:
    """A field of the source that names another record: the parent, or a deferred reference.

    `on`: kind of the record that it names, with a slash at the end. `target`: what that one is at the target.
    """

    source: str
    field: str
    on: str
    target: str

    @classmethod
    def of(cls, source: str, field: str, on: Object, target: Object) -> Link:
        return cls(source, field, f"{on}/", str(target))

    def named(self, record: Fields) -> str | None:
        """The record that it names, as text."""
        value = record.get(self.source)
        return f"{self.on}{value}" if value else None

    def wait(self, record: Fields) -> Wait | None:
        named = self.named(record)
        return Wait(named, self.target, self.field) if named else None


class Route:
    """One pipeline, compiled."""

    def __init__(self, name: str, config: Config) -> None:
        pipeline = config.pipelines[name]
        self.name = name
        self.pipeline: Pipeline = pipeline
        self.transformer = Transformer(config, pipeline)
        self.key = config.counterpart(pipeline.to, pipeline.from_.system)
        self.conflict = {"*": pipeline.conflict} | {
            field: mapping.conflict for field, mapping in pipeline.fields.items() if mapping.conflict
        }
        on_delete = pipeline.on_delete
        self.deactivated: Fields = on_delete.deactivate if isinstance(on_delete, Deactivate) else {}
        self.on_delete: OnDelete | None = (
            "deactivate" if isinstance(on_delete, Deactivate) else None if on_delete == "ignore" else on_delete
        )
        self.parent: Link | None = None
        if pipeline.parent:
            of = config.pipelines[pipeline.parent.pipeline]
            self.parent = Link.of(pipeline.parent.from_, pipeline.parent.field, _source_of(of, pipeline), of.to)
        self.without = pipeline.parent.without if pipeline.parent else None
        self.references = []
        for field, reference in pipeline.references.items():
            of = config.pipelines[reference.pipeline] if reference.pipeline else pipeline
            self.references.append(Link.of(reference.from_, field, _source_of(of, pipeline), of.to))
        self._links = [link.source for link in (self.parent, *self.references) if link]
        self._form = Form(self)

    def parent_of(self, record: Fields) -> Wait | None:
        """What the record waits for; with the policy `hold`, a record without parent waits for one that never comes."""
        if self.parent is None:
            return None
        wait = self.parent.wait(record)
        if wait is None and self.without == "hold":
            return Wait(f"{self.parent.on}-", self.parent.target, self.parent.field)
        return wait

    def unwanted(self, change: Change, record: Fields, parent: Wait | None) -> str | None:
        """Why the pipeline writes nothing for this record, None when it does."""
        if change.op == "delete":
            return "the pipeline ignores deletions"
        if not self.transformer.wants(record):
            return "the filter leaves it out"
        if parent is None and self.parent and self.without == "skip":
            return f"it has no {self.parent.source}"
        return None

    def referred(self, record: Fields) -> list[tuple[Link, Wait]]:
        """The records that it refers to."""
        if not self.references:
            return []
        return [(reference, wait) for reference in self.references if (wait := reference.wait(record))]

    def named(self, record: Fields) -> list[Value]:
        """What waiting depends on."""
        return [record.get(each) for each in self._links]

    def waits(self, record: Fields) -> list[Wait]:
        """Everything that the record waits for somewhere."""
        parent = self.parent_of(record)
        return [*([parent] if parent else []), *(wait for _, wait in self.referred(record))]

    def whole(self, source: str, change: Change, record: Fields, parent: Wait | None, affinity: str) -> Mapped:
        """What the target is to hold, but for what is waited for."""
        waits = (parent,) if parent else ()
        head = Head(source, self.name, change.version, self.pipeline.to.system, affinity, waits)
        return Mapped(head, self._form.filled(source, change, record, parent))

    def command(self, change: Change, record: Fields, **more: Any) -> Command:
        """A command of this pipeline; `more` are its other attributes."""
        given: dict[str, Any] = {"op": "upsert", "fields": {}, "seen": {}, "inputs": {}, **more}
        return Command(
            pipeline=self.name,
            source=change.ref,
            version=change.version,
            time=change.time,
            target=self.pipeline.to,
            key=self.key,
            counterpart=self.transformer.counterpart(record),
            conflict=self.conflict,
            **given,
        )

    def patch(self, change: Change, record: Fields, reference: Link) -> Command:
        """A deferred reference by itself."""
        seen = {reference.source: record[reference.source]}
        return self.command(change, record, creates=False, seen=seen, inputs={reference.field: [reference.source]})

    def deletion(self, change: Change) -> Command:
        """What it deactivates counts as emptied at the source, so that a restored record brings its values back."""
        mapped = [
            source
            for field, each in self.pipeline.fields.items()
            if field in self.deactivated
            for source in each.inputs
        ]
        return self.command(
            change,
            {},
            op="delete",
            fields=dict(self.deactivated),
            seen=dict.fromkeys(mapped),
            inputs={field: [] for field in self.deactivated},
            on_delete=self.on_delete,
            delete_limit=self.pipeline.delete_limit,
        )


class Form:
    """A pipeline's commands with everything filled in that is the same for each record: nearly all commands are made
    here, and their making is most of what the first hop costs."""

    def __init__(self, route: Route) -> None:
        self._route = route
        blank = Command(
            pipeline=route.name,
            op="upsert",
            source=Ref(*route.pipeline.from_, ""),
            version="",
            time="",
            target=route.pipeline.to,
            fields={},
            seen={},
            inputs={},
            key=route.key,
            conflict=route.conflict,
            derived=route.transformer.derived,
        )
        own = ("id", "source", "version", "time", "counterpart", "match", "seen", "inputs", "fields")
        same = {name: value for name, value in blank.document().items() if name not in own}
        self._start = orjson.dumps(same).removesuffix(b"}") + b","
        self._inputs = lru_cache(maxsize=4096)(self._encoded_inputs)

    def filled(self, source: str, change: Change, record: Fields, parent: Wait | None) -> bytes:
        route, transformer = self._route, self._route.transformer
        made = transformer.apply(record)
        encoded = orjson.dumps(made.fields)
        own = {
            "id": command_id(route.name, source, change.version, "upsert", True, encoded),
            "source": source,
            "version": change.version,
            "time": change.time,
            "counterpart": transformer.counterpart(record),
            "match": transformer.match(made.fields),
            "seen": made.seen,
            "inputs": self._inputs(tuple(made.fields), parent is not None),
            "fields": orjson.Fragment(encoded),
        }
        return self._start + orjson.dumps(own)[1:]

    def _encoded_inputs(self, fields: tuple[str, ...], with_parent: bool) -> orjson.Fragment:
        inputs = self._route.transformer.inputs(fields)
        if with_parent and self._route.parent:
            inputs[self._route.parent.field] = [self._route.parent.source]
        return orjson.Fragment(orjson.dumps(inputs))


def _source_of(parents: Pipeline, children: Pipeline) -> Object:
    """The parents' object as the children's source names it, whichever way the parents' own pipeline runs."""
    return parents.from_ if parents.from_.system == children.from_.system else parents.to


def _change(record: Input) -> Change:
    """Raises RecordRejected: a command holds the record about three times, and must still fit into a message."""
    if record.value is not None and len(record.value) > EVENT_BYTES:
        raise RecordRejected(
            f"a change event of {len(record.value)} bytes is over the limit of {EVENT_BYTES}",
            code="EVENT_TOO_LARGE",
            remedy="Send only the fields that the pipelines read.",
        )
    return Change.decode(record.value)


class Subject(Struct, frozen=True):
    """A record that is driven through. source: its ref as text; former: its fields before the change."""

    source: str
    fields: Fields
    former: Fields
    affinity: str


class Records:
    """The hop: `run` is what the engine calls. counts tells what became of the changes, for metrics."""

    def __init__(self, config: Config, names: Names) -> None:
        self._names = names
        self._replayed, self._mapped = names.replay, names.mapped
        self._routes: dict[tuple[str, ...], list[Route]] = {}
        for name, pipeline in config.pipelines.items():
            self._routes.setdefault(pipeline.from_, []).append(Route(name, config))
        self.counts: Counter[str] = Counter()

    def run(self, batch: Sequence[Input], stored: Reader) -> Effects:
        view, outputs = View(stored), list[Output]()
        for record in batch:
            try:
                change = _change(record)
                routes = self._routes.get(change.ref[:2])
                if routes is None:
                    raise Malformed(f"no pipeline reads {change.ref.kind}", fields=("source",))
                self._apply(routes, change, record, view, outputs)
            except RecordRejected as error:
                self.counts["rejected"] += 1
                outputs.append(self._dead_letter(error, record))
        return Effects(view.changes, outputs)

    def _apply(self, routes: list[Route], change: Change, record: Input, view: View, outputs: list[Output]) -> None:
        replay = Replay.of(record.headers) if record.topic == self._replayed else None
        source = str(change.ref)
        key = source.encode()
        stored = view.get(RECORDS, key)
        before = orjson.loads(stored) if stored else None
        deleted = change.op == "delete"
        if before is None:
            if not change.complete and not deleted:
                # A filter or a transform over a part of the record would decide on fields that it cannot see.
                self.counts["incomplete"] += 1
                request = Request(ref=change.ref, reason="a delta of a record that was never seen whole")
                outputs.append(Output(self._names.requests, key, request.encode()))
                return
            fields = change.fields
        else:
            if change.version < before["version"]:
                self.counts["stale"] += 1
                return
            whole = change.complete and not deleted
            fields = change.fields if whole else {**before["fields"], **change.fields}
            same = (change.version, deleted, fields) == (before["version"], before["deleted"], before["fields"])
            if replay and (same or (replay.kept and change.version == before["version"])):
                # Only here are some pipelines left out, for a change that is news is everybody's: when it comes live
                # it will be no news any more.
                wanted = [each for each in routes if replay.pipelines is None or each.name in replay.pipelines]
                self._again(wanted, change, before, record, outputs)
                return
            # Who asks for a record wants to hear of it again, and so does who retries what could not be converted.
            if same and change.op != "snapshot" and not before.get("rejected"):
                self.counts["repeated"] += 1
                return
        self.counts["changed"] += 1
        former: Fields = before["fields"] if before else {}
        affinity = before["affinity"] if before else self._affinity(routes, source, fields)
        row = {"version": change.version, "fields": fields, "deleted": deleted, "affinity": affinity}
        if self._drive(routes, change, Subject(source, fields, former, affinity), record, outputs):
            row["rejected"] = True
        view.put(RECORDS, key, orjson.dumps(row))

    def _again(
        self, routes: list[Route], change: Change, row: dict[str, Any], record: Input, outputs: list[Output]
    ) -> None:
        """The record as it is known, for a change that tells nothing new of it. One that was kept on its topic may be
        the earlier of two with the same version: whatever came live came later."""
        self.counts["replayed"] += 1
        op = "delete" if row["deleted"] else "update" if change.op == "delete" else change.op
        known = change if op == change.op else replace(change, op=op)
        subject = Subject(str(change.ref), row["fields"], row["fields"], row["affinity"])
        self._drive(routes, known, subject, record, outputs)

    def _drive(
        self, routes: Iterable[Route], change: Change, subject: Subject, record: Input, outputs: list[Output]
    ) -> bool:
        """Through each pipeline. Returns whether one could not convert the record."""
        rejected = False
        for route in routes:
            try:
                self._route(route, change, subject, outputs)
            except RecordRejected as error:
                rejected = True
                self.counts["rejected"] += 1
                outputs.append(self._dead_letter(error, record, subject.source, route.name))
                outputs.append(self._settled(route.name, change, "rejected", f"{error.code}: {error}"))
        return rejected

    def _affinity(self, routes: list[Route], source: str, record: Fields) -> str:
        """Decided once: were it to follow a record that moves, two writers could have the record in hand at a time."""
        for route in routes:
            if route.parent and (parent := route.parent.named(record)):
                return parent
        return source

    def _route(self, route: Route, change: Change, subject: Subject, outputs: list[Output]) -> None:
        """Raises RecordRejected."""
        source, record, former, affinity = subject.source, subject.fields, subject.former, subject.affinity
        parent = route.parent_of(record)
        unwanted = route.unwanted(change, record, parent)
        references = [] if unwanted else route.referred(record)
        if former and (unwanted or route.named(former) != route.named(record)):
            waits = {None if unwanted else parent, *(wait for _, wait in references)}
            outputs += [
                self._to_join(Mapped.of(route.command(change, record), (wait,), affinity, left=True))
                for wait in route.waits(former)
                if wait not in waits
            ]
        if change.op == "delete" and route.on_delete:
            outputs.append(self._to_join(Mapped.of(route.deletion(change), (), affinity)))
        elif unwanted:
            outputs.append(self._settled(route.name, change, "skipped", unwanted))
        else:
            outputs.append(self._to_join(route.whole(source, change, record, parent, affinity)))
            for reference, wait in references:
                own = Wait(source, str(route.pipeline.to), None)
                outputs.append(self._to_join(Mapped.of(route.patch(change, record, reference), (wait, own), affinity)))

    def _to_join(self, mapped: Mapped) -> Output:
        return Output(self._mapped, mapped.head.key, mapped)

    def _settled(self, pipeline: str, change: Change, outcome: Outcome, reason: str) -> Output:
        result = Result(
            pipeline=pipeline,
            outcome=outcome,
            source=change.ref,
            target=None,
            version=change.version,
            reason=reason,
        )
        return Output(self._names.results, str(change.ref).encode(), result.encode())

    def _dead_letter(
        self, error: RecordRejected, record: Input, ref: str | None = None, pipeline: str | None = None
    ) -> Output:
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value, ref=ref, pipeline=pipeline)
        return Output(self._names.dead_letters, letter.key, letter.encode())
