"""From a source record's fields to a target record's, by one pipeline; pure, and compiled once."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.config.model import Config, Pipeline
from syncline.config.model import Mapping as FieldMapping
from syncline.contracts.ref import Fields, Value
from syncline.contracts.transforms import Transform, transformed


class Transformed:
    """fields, inputs and seen of the command to be."""

    __slots__ = ("fields", "inputs", "seen")

    def __init__(self, fields: Fields, inputs: dict[str, list[str]], seen: Fields) -> None:
        self.fields = fields
        self.inputs = inputs
        self.seen = seen


class Transformer:
    """A pipeline's mapping, compiled. `record` is always the whole record as far as it is known."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._where = pipeline.where
        self._mapped = [
            (target, mapping.from_, mapping.transform, _clears(pipeline, mapping))
            for target, mapping in pipeline.fields.items()
            if mapping.from_ is not None
        ]
        self._static = {target: m.static for target, m in pipeline.fields.items() if "static" in m.model_fields_set}
        self.derived: dict[str, list[Transform]] = {
            target: list(m.transform) for target, m in pipeline.fields.items() if m.destination
        }
        self._match = pipeline.match
        self._counterpart = config.counterpart(pipeline.from_, pipeline.to.system)

    def wants(self, record: Mapping[str, Value]) -> bool:
        """The filter: every named field holds the value."""
        return all(record.get(field) == value for field, value in self._where.items())

    def apply(self, record: Mapping[str, Value]) -> Transformed:
        """An empty value (null, or text with nothing in it) is left out unless the mapping clears on purpose; a
        source field that the record lacks is unknown, and its target field is left out too."""
        fields: Fields = dict(self._static)
        inputs: dict[str, list[str]] = {target: [] for target in self._static}
        seen: Fields = {}
        for target, source, steps, clears in self._mapped:
            if source not in record:
                continue
            seen[source] = record[source]
            value = transformed(record[source], steps)
            if value is None or value == "":
                if clears:
                    fields[target] = None
                    inputs[target] = [source]
            else:
                fields[target] = value
                inputs[target] = [source]
        return Transformed(fields, inputs, seen)

    def match(self, fields: Fields) -> list[Fields]:
        """The rules that this record can be matched by: those whose values are all there."""
        rules = ({field: fields.get(field) for field in rule} for rule in self._match)
        return [rule for rule in rules if None not in rule.values()]

    def counterpart(self, record: Mapping[str, Value]) -> str | None:
        value = record.get(self._counterpart) if self._counterpart else None
        return str(value) if value else None


def _clears(pipeline: Pipeline, mapping: FieldMapping) -> bool:
    return (mapping.on_empty or pipeline.on_empty) == "clear"
