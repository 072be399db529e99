"""Two objects whose records are linked, and the pipelines between them, compiled for comparing; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from syncline.config.model import Config, Pipeline, StreamSystem
from syncline.contracts.errors import RecordRejected
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.mapping import Transformer
from syncline.verify.digest import digest, plain

Form = Callable[[Object, str, Value], Value]
"""Of an object, field and value to the value as its system stores it."""

Partners = Mapping[tuple[Ref, Object], str]
"""A record and the kind of the other, to the id of the record that it is linked to."""


@dataclass(frozen=True, slots=True)
class Row:
    """A live record. version: as in change events. fresh: changed so lately that its capture may not have seen it."""

    ref: Ref
    fields: Fields
    version: str = ""
    fresh: bool = False


class Naming(NamedTuple):
    """A target field that names another record: the counterpart of the one of the kind `on` that `source` names."""

    field: str
    source: str
    on: Object
    to: Object


class Route:
    """One pipeline. mark: the target's field that names the record which it is linked to."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.pipeline = pipeline = config.pipelines[name]
        self.source, self.target = pipeline.from_, pipeline.to
        self._transformer = Transformer(config, pipeline)
        self.mark = config.counterpart(pipeline.to, pipeline.from_.system)
        self.parent = pipeline.parent
        self.references = frozenset(pipeline.references)
        self._namings = list(_namings(config, pipeline))
        self.naming = frozenset(each.field for each in self._namings)
        self._named = {each.field: [each.source] for each in self._namings}
        mapped = [field for field, each in pipeline.fields.items() if not each.destination]
        self.writes = frozenset({*mapped, *self._named})
        """A `destination` field is the target's own: there is nothing on the other side for it to be equal to."""
        self.reads = frozenset(each for field in self.writes for each in self.inputs(field))
        self.passes_deletions = pipeline.on_delete != "ignore"

    def inputs(self, field: str) -> list[str]:
        """The source fields that feed a target field."""
        return self._named.get(field) or self._transformer.inputs([field])[field]

    def left_out(self, record: Fields) -> str | None:
        """Why the pipeline leaves the record alone, None when it does not."""
        if not self._transformer.wants(record):
            return "the filter leaves it out"
        if self.parent and self.parent.without == "skip" and not record.get(self.parent.from_):
            return f"it has no {self.parent.from_}"
        return None

    def mapped(self, record: Fields) -> Fields:
        """What the target is to hold but for the records that it names. Raises RecordRejected."""
        return self._transformer.apply(record).fields

    def named(self, record: Fields) -> dict[str, tuple[Ref, Object]]:
        """The records that the target is to name, each by the source's name of it and the kind at the target."""
        return {
            each.field: (Ref(*each.on, str(value)), each.to)
            for each in self._namings
            if (value := record.get(each.source))
        }


class Pairing:
    """The objects `a` and `b`, in the order of a link's sides; routes: the pipelines either way."""

    def __init__(self, a: Object, b: Object, routes: Iterable[Route], form: Form) -> None:
        self.a, self.b = a, b
        self.routes = list(routes)
        self._form = form
        self.known = {kind: self._touched(kind) for kind in (a, b)}
        """By side, the fields of which a link tells what was agreed."""
        self._naming = {kind: self._names_others(kind) for kind in (a, b)}
        self._marks = {route.target: route.mark for route in self.routes if route.mark}

    def __str__(self) -> str:
        return f"{self.a} and {self.b}"

    def other(self, kind: Object) -> Object:
        return self.b if kind == self.a else self.a

    def fields(self, kind: Object) -> frozenset[str]:
        """Everything that must be read of a record of that kind."""
        filters = [route.pipeline.where for route in self.from_(kind)]
        marks = [self._marks[kind]] if kind in self._marks else []
        return self.known[kind].union(marks, *filters)

    def from_(self, kind: Object) -> list[Route]:
        return [route for route in self.routes if route.source == kind]

    def form(self, kind: Object, field: str, value: Value) -> Value:
        return plain(self._form(kind, field, value))

    def same(self, kind: Object, field: str, one: Value, other: Value) -> bool:
        """Whether the system holds both for the same value."""
        if one == other and type(one) is type(other):
            return True
        one, other = self.form(kind, field, one), self.form(kind, field, other)
        return one == other and isinstance(one, bool) == isinstance(other, bool)

    def misnamed(self, row: Row, partner: Ref) -> str | None:
        """The mark of a record that names somebody else than its partner. An empty one is none."""
        mark = self._marks.get(row.ref.kind)
        value = row.fields.get(mark) if mark else None
        return str(value) if value and str(value) != partner.id else None

    def unpaired(self, row: Row) -> Route | None:
        """A route that wants this record, which nobody is linked to."""
        return next((route for route in self.from_(row.ref.kind) if route.left_out(row.fields) is None), None)

    def stated(self, link: Link, row: Row) -> int:
        """The digest of what a live record says of its pair, `link` being seen from it.

        When it holds just what was agreed, that is all that was agreed, of both sides; and its partner, which holds
        what was agreed too, says the same. Anything else is said in words that no partner would use.
        """
        sides = sorted(_sides(link), key=lambda side: side.ref)
        ids = [str(side.ref) for side in sides]
        if self._holds(link, row):
            return digest(ids, [side.known for side in sides])
        kind = row.ref.kind
        return digest(ids, str(row.ref), {field: self.form(kind, field, held) for field, held in row.fields.items()})

    def _holds(self, link: Link, row: Row) -> bool:
        known, kind = link.source.known, row.ref.kind
        if link.paused or any(side.review or side.contested for side in _sides(link)):
            return False
        unmet = []
        for field in self.known[kind]:
            if field not in known:
                unmet.append(field)
            elif not self.same(kind, field, row.fields[field], known[field]):
                return False
        return self.misnamed(row, link.target.ref) is None and not (unmet and self._wanting(link, row, unmet))

    def _wanting(self, link: Link, row: Row, unmet: Sequence[str]) -> bool:
        """Whether a pipeline has to do with fields that were never met. `unmet` are of this record."""
        kind, other, known = row.ref.kind, link.target.ref.kind, link.target.known
        own, back = self.from_(kind), self.from_(other)
        if any(field in self._naming[kind] and row.fields[field] not in (None, "") for field in unmet):
            return True
        if any(field in unmet for route in back for field in route.named(known)):
            return True
        mapped = frozenset(unmet) - self._naming[kind]
        if not mapped:
            return False  # as nearly always: a link is never told of an empty reference
        try:
            offered = [(route, route.mapped(row.fields)) for route in own if route.left_out(row.fields) is None]
            expected = [route.mapped(known) for route in back]
        except RecordRejected:
            return True
        return any(
            # Of a field that was never met over there nobody knows here whether it is empty already.
            mapped & {*route.inputs(field)} and not (field in known and self.same(other, field, known[field], value))
            for route, fields in offered
            for field, value in fields.items()
        ) or any(
            field in fields and not self.same(kind, field, row.fields[field], fields[field])
            for fields in expected
            for field in mapped
        )

    def _names_others(self, kind: Object) -> frozenset[str]:
        return frozenset[str]().union(
            *(route.naming for route in self.routes if route.target == kind),
            *(route.inputs(field) for route in self.routes if route.source == kind for field in route.naming),
        )

    def _touched(self, kind: Object) -> frozenset[str]:
        return frozenset[str]().union(
            *(route.reads for route in self.routes if route.source == kind),
            *(route.writes for route in self.routes if route.target == kind),
        )


def _sides(link: Link) -> tuple[Side, Side]:
    return link.source, link.target


def _namings(config: Config, pipeline: Pipeline) -> Iterator[Naming]:
    named = [(field, each.from_, each.pipeline) for field, each in pipeline.references.items()]
    if pipeline.parent:
        named.append((pipeline.parent.field, pipeline.parent.from_, pipeline.parent.pipeline))
    for field, source, through in named:
        of = config.pipelines[through] if through else pipeline
        # The pipeline that syncs the others may run either way.
        on = of.from_ if of.from_.system == pipeline.from_.system else of.to
        yield Naming(field, source, on, of.to if on == of.from_ else of.from_)


def pairings(config: Config, form: Form, only: Iterable[Object] = ()) -> list[Pairing]:
    """Those that can be read on both sides; `only`: with one of these objects."""
    groups: dict[tuple[Object, Object], list[Route]] = {}
    for name, pipeline in config.pipelines.items():
        a, b = sorted((pipeline.from_, pipeline.to))
        groups.setdefault((a, b), []).append(Route(name, config))
    wanted = set(only)
    return [
        Pairing(*kinds, routes, form)
        for kinds, routes in groups.items()
        if not any(isinstance(config.systems[kind.system], StreamSystem) for kind in kinds)
        and (not wanted or wanted & set(kinds))
    ]
