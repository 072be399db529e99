"""From a source record's fields to a target record's, by one pipeline; pure, and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from syncline.config.model import Config, Pipeline
from syncline.config.model import Mapping as FieldMapping
from syncline.contracts.ref import Fields, Value
from syncline.contracts.transforms import STEPS, Transform


class Transformed(NamedTuple):
    """fields and seen of the command to be."""

    fields: Fields
    seen: Fields


class Target(NamedTuple):
    """One field of the target. step: None leaves the value as it is. clears: an empty value empties it there too."""

    field: str
    source: str
    step: Callable[[str], str] | None
    clears: bool


class Plan(NamedTuple):
    """What there is to do for a record of which certain fields are known; those of a poll are always the same."""

    mapped: list[Target]
    sources: list[str]


class Transformer:
    """A pipeline's mapping, compiled. `record` is always the whole record as far as it is known."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._where = list(pipeline.where.items())
        self._mapped = [
            Target(target, mapping.from_, _compiled(mapping.transform), _clears(pipeline, mapping))
            for target, mapping in pipeline.fields.items()
            if mapping.from_ is not None
        ]
        self._plan = lru_cache(maxsize=256)(self._new_plan)
        self._static: Fields = {
            target: m.static for target, m in pipeline.fields.items() if "static" in m.model_fields_set
        }
        self._sources = {each.field: [each.source] for each in self._mapped}
        self.derived: dict[str, list[Transform]] = {
            target: list(m.transform) for target, m in pipeline.fields.items() if m.destination
        }
        self._match = pipeline.match
        self._counterpart = config.counterpart(pipeline.from_, pipeline.to.system)

    def wants(self, record: Mapping[str, Value]) -> bool:
        """The filter: every named field holds the value."""
        return not self._where or all(record.get(field) == value for field, value in self._where)

    def apply(self, record: Mapping[str, Value]) -> Transformed:
        """An empty value (null, or text with nothing in it) is left out unless the mapping clears on purpose; a
        source field that the record lacks is unknown, and its target field is left out too."""
        plan = self._plan(tuple(record))
        fields, values = self._static.copy(), [record[source] for source in plan.sources]
        for (target, _, step, clears), value in zip(plan.mapped, values, strict=True):
            if step is not None and type(value) is str:
                value = step(value)
            if value is not None and value != "":
                fields[target] = value
            elif clears:
                fields[target] = None
        return Transformed(fields, dict(zip(plan.sources, values, strict=True)))

    def _new_plan(self, known: tuple[str, ...]) -> Plan:
        mapped = [each for each in self._mapped if each.source in known]
        return Plan(mapped, [each.source for each in mapped])

    def inputs(self, fields: Iterable[str]) -> dict[str, list[str]]:
        """The source fields that feed these target fields."""
        return {field: self._sources.get(field, []) for field in fields}

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


def _compiled(steps: list[Transform]) -> Callable[[str], str] | None:
    """The steps as one function; values that are not text pass through untouched, so that none need be called."""
    functions = [STEPS[step] for step in steps]
    if len(functions) < 2:
        return functions[0] if functions else None

    def together(value: str) -> str:
        for function in functions:
            value = function(value)
        return value

    return together


def _clears(pipeline: Pipeline, mapping: FieldMapping) -> bool:
    return (mapping.on_empty or pipeline.on_empty) == "clear"
