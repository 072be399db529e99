"""Both systems side by side, read past every stage of Syncline: which records are pairs, and where a pair differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from syncline.config.model import Config, Pipeline
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.contracts.transforms import transformed, written

Records = Mapping[Object, Mapping[str, Fields]]
"""Everything that both systems hold: object to id to fields."""

Pairs = Mapping[tuple[Ref, Object], Ref]
"""Who is whose counterpart, both ways."""


@dataclass
class Comparison:
    """differing and unaccounted are sentences for people; both empty means equal."""

    compared: int = 0
    fields: int = 0
    skipped: int = 0
    differing: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differing and not self.unaccounted


def compare(config: Config, records: Records, pairs: Pairs, skipped: Collection[str]) -> Comparison:
    """Every record of every pipeline's source against its counterpart, field by field.

    skipped: the records (`system/object/id`) that were left out for a stated reason; any other must have a pair.
    """
    found = Comparison()
    for name, pipeline in config.pipelines.items():
        for id, source in records[pipeline.from_].items():  # noqa: A001
            ref = Ref(*pipeline.from_, id)
            pair = pairs.get((ref, pipeline.to))
            if pair is None:
                if str(ref) in skipped:
                    found.skipped += 1
                else:
                    found.unaccounted.append(f"{ref} has no {pipeline.to.name} and no reason for it")
                continue
            target = records[pipeline.to].get(pair.id)
            if target is None:
                found.unaccounted.append(f"{ref} is linked to {pair}, which is not there")
                continue
            found.compared += 1
            for place, one, other in _fields(config, pipeline, source, target, pairs):
                found.fields += 1
                if one != other:
                    found.differing.append(f"{name}: {ref}.{place} is {one!r}, {pair} has {other!r}")
    owners: dict[tuple[Ref, Object], Ref] = {}
    for (ref, kind), pair in pairs.items():
        if (owner := owners.setdefault((pair, ref.kind), ref)) != ref:
            found.unaccounted.append(f"{pair} is the {kind.name} of both {ref} and {owner}")
    return found


def _fields(
    config: Config, pipeline: Pipeline, source: Fields, target: Fields, pairs: Pairs
) -> Iterator[tuple[str, Value, Value]]:
    for name, mapping in pipeline.fields.items():
        if len(mapping.sources) == 1:
            steps = written(mapping.transform)
            yield (
                name,
                _plain(transformed(source.get(mapping.sources[0]), steps)),
                _plain(transformed(target.get(name), steps)),
            )
    links = [(name, each.from_, each.pipeline) for name, each in pipeline.references.items()]
    if pipeline.parent:
        links.append((pipeline.parent.field, pipeline.parent.from_, pipeline.parent.pipeline))
    for name, source_field, through in links:
        linked = config.pipelines[through] if through else pipeline
        named = source.get(source_field)
        expected = pairs.get((Ref(*linked.from_, str(named)), linked.to)) if named else None
        yield name, expected.id if expected else None, _plain(target.get(name))


def _plain(value: Any) -> Value:
    """Blank text is empty, and Salesforce trims."""
    text = value.strip() if isinstance(value, str) else value
    return None if text == "" else text
