"""What is wrong with a mapping, told before anything runs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncline.config.model import Config, Pipeline, SalesforceSystem, StreamSystem
from syncline.contracts.catalog import Catalog
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object

ACCESS = "Correct the name, or give the user access to it."


@dataclass(frozen=True, slots=True)
class Finding:
    """place is a path into pipelines.yaml."""

    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.remedy}"


def refuse(findings: list[Finding]) -> None:
    """Raises Fatal that lists them all."""
    if findings:
        raise Fatal("the configuration cannot run:\n" + "\n".join(f"  {finding}" for finding in findings))


def placeholders(config: Config) -> list[Finding]:
    """Examples that nobody has replaced yet; needs no system to be reachable."""
    return [
        Finding(
            f"pipelines.{name}.fields.{field}",
            f"{', '.join(mapping.sources) or field} is a placeholder",
            "Name your own field and remove `placeholder: true`, or remove the mapping.",
        )
        for name, pipeline in config.pipelines.items()
        for field, mapping in pipeline.fields.items()
        if mapping.placeholder
    ]


def check(config: Config, catalogs: Mapping[Object, Catalog]) -> list[Finding]:
    """Every mapping against what the systems say of their objects."""
    return [
        *placeholders(config),
        *(finding for name in config.pipelines for finding in _pipeline(config, name, catalogs)),
    ]


def _pipeline(config: Config, name: str, catalogs: Mapping[Object, Catalog]) -> Iterator[Finding]:
    place, pipeline = f"pipelines.{name}", config.pipelines[name]
    for side, kind in (("from", pipeline.from_), ("to", pipeline.to)):
        if kind not in catalogs and not isinstance(config.systems[kind.system], StreamSystem):
            yield Finding(f"{place}.{side}", f"{kind.system} shows no object {kind.name}", ACCESS)
    source, target = catalogs.get(pipeline.from_), catalogs.get(pipeline.to)
    if source is not None:
        yield from _source(config, place, pipeline, source)
    if target is not None:
        yield from _target(config, place, pipeline, target)
    if source is not None and target is not None:
        yield from _types(place, pipeline, source, target)


def _source(config: Config, place: str, pipeline: Pipeline, source: Catalog) -> Iterator[Finding]:
    # A dotted name is a field of a related object in Salesforce, which this object's describe does not list.
    related = isinstance(config.systems[pipeline.from_.system], SalesforceSystem)
    for field in sorted(pipeline.reads | _mark(config, pipeline.from_, pipeline.to)):
        if field not in source and not (related and "." in field):
            yield Finding(place, f"{pipeline.from_} has no field {field}", _nearest(field, source))


def _target(config: Config, place: str, pipeline: Pipeline, target: Catalog) -> Iterator[Finding]:
    for field in sorted(pipeline.writes):
        info, at = target.get(field), f"{place}.fields.{field}"
        if info is None:
            yield Finding(at, f"{pipeline.to} has no field {field}", _nearest(field, target))
        elif not info.writable:
            yield Finding(at, f"{field} of {pipeline.to} cannot be written", "Map its parts, or give the permission.")
    if missing := sorted({name for name, info in target.items() if info.required} - pipeline.writes):
        yield Finding(place, f"{pipeline.to} requires {', '.join(missing)}", "Map them, or give `static` values.")
    for key in _mark(config, pipeline.to, pipeline.from_):
        if key not in target:
            yield Finding(place, f"{pipeline.to} has no field {key}, its counterpart's id", _nearest(key, target))
        elif not target[key].external_id:
            yield Finding(place, f"{key} of {pipeline.to} is not unique", "Make it a unique external ID or column.")
        elif not target[key].writable:
            yield Finding(place, f"{key} of {pipeline.to} cannot be written", "Give the permission.")


def _types(place: str, pipeline: Pipeline, source: Catalog, target: Catalog) -> Iterator[Finding]:
    """Only what can never work: text takes anything, and anything may be read from text."""
    for field, mapping in pipeline.fields.items():
        one, other = source.get(mapping.sources[0] if mapping.sources else ""), target.get(field)
        if (
            one
            and other
            and not mapping.transform
            and one.type != other.type
            and not {"text", "other", "reference"} & {one.type, other.type}
        ):
            yield Finding(f"{place}.fields.{field}", f"a {one.type} cannot become a {other.type}", "Map another field.")


def _mark(config: Config, kind: Object, other: Object) -> frozenset[str]:
    counterpart = config.counterpart(kind, other.system)
    return frozenset([counterpart] if counterpart else [])


def _nearest(field: str, catalog: Catalog) -> str:
    same = [name for name in catalog if name.lower() == field.lower()]
    return f"Did you mean {same[0]}?" if same else ACCESS
