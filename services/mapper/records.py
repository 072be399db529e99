"""The first hop, pure: changes become the whole record, and the record a command for each pipeline that wants it.

Table `records`: record -> version, fields, deleted. It merges deltas, so that filters and transforms always see the
whole record; it drops repeats and stale versions; it knows the former parent, so that the old one hears of a move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from services.mapper.engine import Effects, Input, Output, Reader, View
from services.mapper.mapped import Mapped, Wait
from services.mapper.transform import Transformer
from syncline.config.model import Config, Deactivate, Pipeline
from syncline.contracts.change import Change
from syncline.contracts.command import Command, OnDelete
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.request import Request
from syncline.contracts.result import Result
from syncline.contracts.topics import EVENT_BYTES, Names

RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Link:
    """A field of the source that names another record: the parent, or a deferred reference."""

    source: str
    field: str
    on: Object
    target: Object

    def wait(self, record: Fields) -> Wait | None:
        value = record.get(self.source)
        return Wait(Ref(*self.on, str(value)), self.target, self.field) if value else None


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
            self.parent = Link(pipeline.parent.from_, pipeline.parent.field, _source_of(of, pipeline), of.to)
        self.references = []
        for field, reference in pipeline.references.items():
            of = config.pipelines[reference.pipeline] if reference.pipeline else pipeline
            self.references.append(Link(reference.from_, field, _source_of(of, pipeline), of.to))

    def parent_of(self, record: Fields) -> Wait | None:
        """What the record waits for; with the policy `hold`, a record without parent waits for one that never comes."""
        if self.parent is None:
            return None
        wait = self.parent.wait(record)
        if wait is None and self.pipeline.parent and self.pipeline.parent.without == "hold":
            return Wait(Ref(*self.parent.on, "-"), self.parent.target, self.parent.field)
        return wait

    def unwanted(self, change: Change, record: Fields, parent: Wait | None) -> str | None:
        """Why the pipeline writes nothing for this record, None when it does."""
        if change.op == "delete":
            return "the pipeline ignores deletions"
        if not self.transformer.wants(record):
            return "the filter leaves it out"
        if self.pipeline.parent and parent is None and self.pipeline.parent.without == "skip":
            return f"it has no {self.pipeline.parent.from_}"
        return None

    def waits(self, record: Fields) -> list[Wait]:
        """Everything that the record waits for somewhere: its parent and the records that it refers to."""
        found = [self.parent_of(record), *(reference.wait(record) for reference in self.references)]
        return [wait for wait in found if wait]


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


class Records:
    """The hop: `run` is what the engine calls. counts tells what became of the changes, for metrics."""

    def __init__(self, config: Config, names: Names) -> None:
        self._names = names
        self._routes: dict[Object, list[Route]] = {}
        for name, pipeline in config.pipelines.items():
            self._routes.setdefault(pipeline.from_, []).append(Route(name, config))
        self.counts: Counter[str] = Counter()

    def run(self, batch: Sequence[Input], stored: Reader) -> Effects:
        view, outputs = View(stored), list[Output]()
        for record in batch:
            try:
                change = _change(record)
                if change.ref.kind not in self._routes:
                    raise Malformed(f"no pipeline reads {change.ref.kind}", fields=("source",))
                self._apply(change, view, outputs)
            except RecordRejected as error:
                self.counts["rejected"] += 1
                outputs.append(self._dead_letter(error, record))
        return Effects(view.changes, outputs)

    def _apply(self, change: Change, view: View, outputs: list[Output]) -> None:
        key = str(change.ref).encode()
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
            if same and change.op != "snapshot":  # who asks for a record wants to hear of it again
                self.counts["repeated"] += 1
                return
        self.counts["changed"] += 1
        row = {"version": change.version, "fields": fields, "deleted": deleted}
        view.put(RECORDS, key, orjson.dumps(row))
        former: Fields = before["fields"] if before else {}
        for route in self._routes[change.ref.kind]:
            outputs += self._route(route, change, fields, former)

    def _route(self, route: Route, change: Change, record: Fields, former: Fields) -> list[Output]:
        base = Command(
            pipeline=route.name,
            op="upsert",
            source=change.ref,
            version=change.version,
            time=change.time,
            target=route.pipeline.to,
            fields={},
            seen={},
            inputs={},
            key=route.key,
            counterpart=route.transformer.counterpart(record),
            conflict=route.conflict,
        )
        parent = route.parent_of(record)
        affinity = str(parent.on if parent else change.ref)
        unwanted = route.unwanted(change, record, parent)
        waits = [] if unwanted else route.waits(record)
        outputs = [
            self._mapped(Mapped(base, (wait,), affinity, left=True))
            for wait in route.waits(former)
            if wait not in waits
        ]
        if change.op == "delete" and route.on_delete:
            gone = replace(base, op="delete", on_delete=route.on_delete, delete_limit=route.pipeline.delete_limit)
            gone = replace(gone, fields=dict(route.deactivated), inputs={field: [] for field in route.deactivated})
            return [*outputs, self._mapped(Mapped(gone, (), affinity))]
        if unwanted:
            return [*outputs, self._skipped(base, unwanted)]
        made = route.transformer.apply(record)
        if route.parent and route.parent.source in record:
            made.seen[route.parent.source] = record[route.parent.source]
            if parent:
                made.inputs[route.parent.field] = [route.parent.source]
        command = replace(
            base,
            fields=made.fields,
            seen=made.seen,
            inputs=made.inputs,
            match=route.transformer.match(made.fields),
            derived=route.transformer.derived,
        )
        outputs.append(self._mapped(Mapped(command, (parent,) if parent else (), affinity)))
        for reference in route.references:
            if wait := reference.wait(record):
                patch = replace(
                    base,
                    creates=False,
                    seen={reference.source: record[reference.source]},
                    inputs={reference.field: [reference.source]},
                )
                own = Wait(change.ref, route.pipeline.to, None)
                outputs.append(self._mapped(Mapped(patch, (wait, own), affinity)))
        return outputs

    def _mapped(self, mapped: Mapped) -> Output:
        return Output(self._names.mapped, mapped.key, mapped.encode())

    def _skipped(self, command: Command, reason: str) -> Output:
        result = Result(
            pipeline=command.pipeline,
            outcome="skipped",
            source=command.source,
            target=None,
            version=command.version,
            reason=reason,
        )
        return Output(self._names.results, str(command.source).encode(), result.encode())

    def _dead_letter(self, error: RecordRejected, record: Input) -> Output:
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value)
        return Output(self._names.dead_letters, letter.key, letter.encode())
