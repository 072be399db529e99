"""What is wrong with a mapping, told before anything runs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncline.config.fits import misfits
from syncline.config.model import Config, Pipeline, SalesforceSystem, StreamSystem
from syncline.contracts.catalog import ALL_RIGHTS, Catalog, Right
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object

ACCESS = "Correct the name, or give the user access to it."

Rights = Mapping[Object, frozenset[Right]]


@dataclass(frozen=True, slots=True)
class Finding:
    """place is a path into pipelines.yaml, or what else was looked at. blocks: nothing starts before it is put right;
    else it is for a person to judge."""

    place: str
    what: str
    remedy: str
    blocks: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.remedy}"


def refuse(findings: list[Finding]) -> None:
    """Raises Fatal that lists all that block."""
    if blocking := [finding for finding in findings if finding.blocks]:
        raise Fatal("the configuration cannot run:\n" + "\n".join(f"  {finding}" for finding in blocking))


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


def check(config: Config, catalogs: Mapping[Object, Catalog], rights: Rights | None = None) -> list[Finding]:
    """Every mapping against what the systems say of their objects; rights that are not given are not judged."""
    return [
        *placeholders(config),
        *(finding for name in config.pipelines for finding in _pipeline(config, name, catalogs, rights or {})),
    ]


def check_target(config: Config, name: str, catalogs: Mapping[Object, Catalog], rights: Rights) -> list[Finding]:
    """What keeps this pipeline from writing."""
    place, pipeline = f"pipelines.{name}", config.pipelines[name]
    target = catalogs.get(pipeline.to)
    if target is None:
        return [Finding(f"{place}.to", f"{pipeline.to.system} shows no object {pipeline.to.name}", ACCESS)]
    return [*_target(config, place, pipeline, target), *_rights(place, pipeline, rights)]


def _pipeline(config: Config, name: str, catalogs: Mapping[Object, Catalog], rights: Rights) -> Iterator[Finding]:
    place, pipeline = f"pipelines.{name}", config.pipelines[name]
    source, target = catalogs.get(pipeline.from_), catalogs.get(pipeline.to)
    if source is not None:
        yield from _source(config, place, pipeline, source)
    elif not isinstance(config.systems[pipeline.from_.system], StreamSystem):
        yield Finding(f"{place}.from", f"{pipeline.from_.system} shows no object {pipeline.from_.name}", ACCESS)
    yield from check_target(config, name, catalogs, rights)
    for field, mapping in pipeline.fields.items():
        if target is not None and field in target:
            only = mapping.sources[0] if len(mapping.sources) == 1 else ""
            for misfit in misfits(mapping, (source or {}).get(only), target[field]):
                yield Finding(f"{place}.fields.{field}", *misfit)


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


def _rights(place: str, pipeline: Pipeline, rights: Rights) -> Iterator[Finding]:
    needed: list[tuple[str, Object, Right]] = [
        ("from", pipeline.from_, "read"),
        ("to", pipeline.to, "read"),
        ("to", pipeline.to, "create"),
        ("to", pipeline.to, "update"),
    ]
    if pipeline.on_delete == "delete":
        needed.append(("on_delete", pipeline.to, "delete"))
    for side, kind, right in needed:
        if right not in rights.get(kind, ALL_RIGHTS):
            yield Finding(f"{place}.{side}", f"the user may not {right} {kind}", "Give the user the permission.")


def _mark(config: Config, kind: Object, other: Object) -> frozenset[str]:
    counterpart = config.counterpart(kind, other.system)
    return frozenset([counterpart] if counterpart else [])


def _nearest(field: str, catalog: Catalog) -> str:
    same = [name for name in catalog if name.lower() == field.lower()]
    return f"Did you mean {same[0]}?" if same else ACCESS
