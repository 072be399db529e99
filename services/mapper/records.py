"""The first hop, pure: changes become the whole record, and the record a command for each pipeline that wants it.

Table `records`: record -> version, fields, deleted, affinity. It merges deltas, so that filters and transforms always
see the whole record; it drops repeats and stale versions; it knows the former parent, so that the old one hears of a
move; and it keeps all commands of a record in one partition of the writer, that of its first parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    def referred(self, record: Fields) -> list[tuple[Link, Wait]]:
        """The records that it refers to."""
        return [(reference, wait) for reference in self.references if (wait := reference.wait(record))]

    def waits(self, record: Fields) -> list[Wait]:
        """Everything that the record waits for somewhere."""
        parent = self.parent_of(record)
        return [*([parent] if parent else []), *(wait for _, wait in self.referred(record))]

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

    def whole(self, change: Change, record: Fields, parent: Wait | None) -> Command:
        """What the target is to hold, but for what is waited for."""
        made = self.transformer.apply(record)
        if self.parent and self.parent.source in record:
            made.seen[self.parent.source] = record[self.parent.source]
            if parent:
                made.inputs[self.parent.field] = [self.parent.source]
        return self.command(
            change,
            record,
            fields=made.fields,
            seen=made.seen,
            inputs=made.inputs,
            match=self.transformer.match(made.fields),
            derived=self.transformer.derived,
        )

    def patch(self, change: Change, record: Fields, reference: Link) -> Command:
        """A deferred reference by itself."""
        seen = {reference.source: record[reference.source]}
        return self.command(change, record, creates=False, seen=seen, inputs={reference.field: [reference.source]})

    def deletion(self, change: Change) -> Command:
        """What it deactivates counts as emptied at the source, so that a restored record brings its values back."""
        mapped = [
            each.from_ for field, each in self.pipeline.fields.items() if field in self.deactivated and each.from_
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
        former: Fields = before["fields"] if before else {}
        affinity = before["affinity"] if before else self._affinity(change.ref, fields)
        row = {"version": change.version, "fields": fields, "deleted": deleted, "affinity": affinity}
        view.put(RECORDS, key, orjson.dumps(row))
        for route in self._routes[change.ref.kind]:
            outputs += self._route(route, change, fields, former, affinity)

    def _affinity(self, ref: Ref, record: Fields) -> str:
        """Decided once: were it to follow a record that moves, two writers could have the record in hand at a time."""
        parents = (route.parent.wait(record) for route in self._routes[ref.kind] if route.parent)
        return next((str(parent.on) for parent in parents if parent), str(ref))

    def _route(self, route: Route, change: Change, record: Fields, former: Fields, affinity: str) -> list[Output]:
        parent = route.parent_of(record)
        unwanted = route.unwanted(change, record, parent)
        references = [] if unwanted else route.referred(record)
        waits = {wait for wait in (None if unwanted else parent, *(wait for _, wait in references)) if wait}
        gone = [wait for wait in route.waits(former) if wait not in waits]
        outputs = [
            self._mapped(Mapped(route.command(change, record).document(), (wait,), affinity, left=True))
            for wait in gone
        ]
        if change.op == "delete" and route.on_delete:
            return [*outputs, self._mapped(Mapped(route.deletion(change).document(), (), affinity))]
        if unwanted:
            return [*outputs, self._skipped(route.name, change, unwanted)]
        whole = route.whole(change, record, parent)
        outputs.append(self._mapped(Mapped(whole.document(), (parent,) if parent else (), affinity)))
        for reference, wait in references:
            patch = route.patch(change, record, reference)
            own = Wait(change.ref, route.pipeline.to, None)
            outputs.append(self._mapped(Mapped(patch.document(), (wait, own), affinity)))
        return outputs

    def _mapped(self, mapped: Mapped) -> Output:
        return Output(self._names.mapped, mapped.key, mapped.encode())

    def _skipped(self, pipeline: str, change: Change, reason: str) -> Output:
        result = Result(
            pipeline=pipeline,
            outcome="skipped",
            source=change.ref,
            target=None,
            version=change.version,
            reason=reason,
        )
        return Output(self._names.results, str(change.ref).encode(), result.encode())

    def _dead_letter(self, error: RecordRejected, record: Input) -> Output:
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value)
        return Output(self._names.dead_letters, letter.key, letter.encode())
