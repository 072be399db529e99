"""From a source record's fields to a target record's, by one pipeline; pure, and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from syncline.config.fields import Mapping as FieldMapping
from syncline.config.model import Config, Pipeline
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Fields, Value
from syncline.contracts.transforms import Unconvertible, compiled, text_only, written
from syncline.contracts.transforms.convert import Convert, Text
from syncline.contracts.transforms.steps import WORDS, Concat

Test = Callable[[Value], bool]
Join = Callable[[list[Value]], Value]


class Transformed(Struct, frozen=True):
    """fields and seen of the command to be."""

    fields: Fields
    seen: Fields


class Target(NamedTuple):
    """A field that one source field fills, by nothing but text steps: nearly all are such, so they are kept cheap.
    step: None leaves the value as it is. clears: an empty value empties it in the target too."""

    field: str
    source: str
    step: Text | None
    clears: bool


class Computed(NamedTuple):
    """Any other field. sources: those that make up its value; tests: of the fields that decide whether it has one.
    clears: as above, while the tests are met; else `blanks` says so."""

    field: str
    inputs: tuple[str, ...]
    sources: tuple[str, ...]
    tests: list[tuple[str, Test]]
    first: Join
    step: Convert
    clears: bool
    otherwise: Value
    blanks: bool

    def value(self, record: Mapping[str, Value]) -> tuple[Value, bool]:
        """With it whether the target is emptied should it be empty. Raises Unconvertible."""
        if not all(test(record[field]) for field, test in self.tests):
            return self.otherwise, self.blanks
        return self.step(self.first([record[source] for source in self.sources])), self.clears


class Plan(NamedTuple):
    """What there is to do for a record of which certain fields are known; those of a poll are always the same.

    targets of the mapped fields, and what gives the values of their sources, one beside the other; steps and clears
    name them by their place. unread: what is known and tells nothing of the command.
    """

    targets: list[str]
    read: Callable[[Mapping[str, Value]], Iterable[Value]]
    unread: list[str]
    steps: list[tuple[int, Text]]
    clears: list[tuple[int, str]]
    computed: list[Computed]


class Transformer:
    """A pipeline's mapping, compiled. `record` is always the whole record as far as it is known."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._name = next(name for name, each in config.pipelines.items() if each is pipeline)
        self._where = [(field, condition.test) for field, condition in pipeline.where.items()]
        self._static: Fields = {}
        self._mapped: list[Target] = []
        self._computed: list[Computed] = []
        for target, mapping in pipeline.fields.items():
            if mapping.destination:
                continue
            if not mapping.inputs:
                self._static[target] = mapping.static
            elif _plain(mapping):
                step = text_only(mapping.transform)
                self._mapped.append(Target(target, mapping.sources[0], step, _clears(pipeline, mapping)))
            else:
                self._computed.append(_computed(target, mapping, _clears(pipeline, mapping)))
        self._plan = lru_cache(maxsize=256)(self._new_plan)
        self._inputs = {target: list(mapping.inputs) for target, mapping in pipeline.fields.items()}
        self.derived = {target: written(m.transform) for target, m in pipeline.fields.items() if m.destination}
        self._match = pipeline.match
        self._parent = [pipeline.parent.from_] if pipeline.parent else []
        self._counterpart = config.counterpart(pipeline.from_, pipeline.to.system)

    def wants(self, record: Mapping[str, Value]) -> bool:
        """The filter: every named field holds what it must."""
        return not self._where or all(test(record.get(field)) for field, test in self._where)

    def apply(self, record: Mapping[str, Value]) -> Transformed:
        """An empty value (null, or text with nothing in it) is left out unless the mapping clears on purpose; a
        source field that the record lacks is unknown, and a target field that it feeds is left out too. Raises
        RecordRejected when a value cannot be converted."""
        plan = self._plan(tuple(record))
        values = [*plan.read(record)]
        for place, step in plan.steps:
            if type(value := values[place]) is str:
                values[place] = step(value)
        fields = self._static | {
            target: value
            for target, value in zip(plan.targets, values, strict=True)
            if value is not None and value != ""
        }
        for place, target in plan.clears:
            if (value := values[place]) is None or value == "":
                fields[target] = None
        if plan.computed:
            self._compute(plan.computed, record, fields)
        seen = {**record}
        for source in plan.unread:
            del seen[source]
        return Transformed(fields, seen)

    def _compute(self, computed: Iterable[Computed], record: Mapping[str, Value], fields: Fields) -> None:
        faults: list[tuple[str, Unconvertible]] = []
        for each in computed:
            try:
                value, clears = each.value(record)
            except Unconvertible as error:
                faults.append((each.field, error))
                continue
            if value is not None and value != "":
                fields[each.field] = value
            elif clears:
                fields[each.field] = None
        if faults:
            told = "; ".join(f"{field}: {error}" for field, error in faults)
            raise RecordRejected(
                f"{self._name}: {told}",
                code="UNCONVERTIBLE",
                fields=tuple(field for field, _ in faults),
                remedy="Correct the value at its source, or the field's transform (a `default` step stands in for "
                "what cannot be converted); then retry the dead letter.",
            )

    def _new_plan(self, known: tuple[str, ...]) -> Plan:
        mapped = [each for each in self._mapped if each.source in known]
        computed = [each for each in self._computed if set(each.inputs) <= set(known)]
        sources = [each.source for each in mapped]
        told = {*sources, *self._parent, *(source for each in computed for source in each.inputs)}
        return Plan(
            [each.field for each in mapped],
            itemgetter(*sources) if len(sources) > 1 else lambda record: [record[source] for source in sources],
            [field for field in known if field not in told],
            [(place, each.step) for place, each in enumerate(mapped) if each.step],
            [(place, each.field) for place, each in enumerate(mapped) if each.clears],
            computed,
        )

    def inputs(self, fields: Iterable[str]) -> dict[str, list[str]]:
        """The source fields that feed these target fields."""
        return {field: self._inputs.get(field, []) for field in fields}

    def match(self, fields: Fields) -> list[Fields]:
        """The rules that this record can be matched by: those whose values are all there."""
        matching = []
        for rule in self._match:
            values = {field: fields.get(field) for field in rule}
            if None not in values.values():
                matching.append(values)
        return matching

    def counterpart(self, record: Mapping[str, Value]) -> str | None:
        value = record.get(self._counterpart) if self._counterpart else None
        return str(value) if value else None


def _plain(mapping: FieldMapping) -> bool:
    steps = mapping.transform
    return len(mapping.inputs) == len(mapping.sources) == 1 and (not steps or text_only(steps) is not None)


def _computed(target: str, mapping: FieldMapping, clears: bool) -> Computed:
    first: Join = _alone
    steps = mapping.transform
    if not mapping.sources:
        first = _constant(mapping.static)
    elif len(mapping.sources) > 1:
        concat, *steps = mapping.transform
        first = _joining(WORDS[concat] if isinstance(concat, str) else concat)
    return Computed(
        target,
        mapping.inputs,
        mapping.sources,
        [(field, condition.test) for field, condition in mapping.when.items()],
        first,
        compiled(steps),
        clears or not mapping.sources,
        mapping.otherwise,
        clears or "otherwise" in mapping.model_fields_set,
    )


def _alone(values: list[Value]) -> Value:
    return values[0]


def _constant(value: Value) -> Join:
    return lambda _: value


def _joining(step: object) -> Join:
    assert isinstance(step, Concat), "the model asks for it where there are several source fields"
    return step.join


def _clears(pipeline: Pipeline, mapping: FieldMapping) -> bool:
    return (mapping.on_empty or pipeline.on_empty) == "clear"
