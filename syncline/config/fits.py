"""Whether what a mapping makes can be what the target field holds; pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from syncline.config.fields import Mapping
from syncline.contracts.catalog import FieldInfo, FieldType
from syncline.contracts.ref import Value
from syncline.contracts.transforms import Default, Lookup
from syncline.contracts.transforms.steps import WORDS, Boolean, Day, Instant, Number, Split, Step, TextStep, Truncate

SHOWN = 5
"""So many values of a picklist are named."""


class Misfit(NamedTuple):
    """blocks: no value can ever fit; else some may not."""

    what: str
    remedy: str
    blocks: bool


def misfits(mapping: Mapping, source: FieldInfo | None, target: FieldInfo) -> Iterator[Misfit]:
    """source: of the only source field; None when there is another number of them, or it is not known."""
    made = _type(mapping, source)
    if made and made != target.type and not {"text", "other", "reference"} & {made, target.type}:
        yield Misfit(f"a {made} cannot become a {target.type}", "Map another field.", blocks=True)
    for value in dict.fromkeys(mapping.outcomes):
        if fault := _outcome(value, target):
            yield Misfit(fault, "Correct the value in the mapping, or the field.", blocks=True)
        elif target.choices and str(value) not in target.choices:
            what = f"{target.name} lists {str(value)!r} in other letters"
            yield Misfit(what, "Write it as the field does.", blocks=False)
    if source is None:
        return
    listed = target.choices if source.choices and not mapping.transform else None
    if listed and (others := [each for each in source.choices or () if each not in listed]):
        what = f"{source.name} may hold {_named(others)}, which {target.name} does not list"
        yield Misfit(what, "Map them with a `lookup`, or add them to the picklist.", blocks=False)
    longest = _longest(mapping, source)
    if longest and target.length and longest > target.length and target.type == "text" and not target.choices:
        what = f"up to {longest} characters do not fit into the {target.length} of {target.name}"
        yield Misfit(what, f"Add `truncate: {target.length}`, or lengthen the field.", blocks=False)


def _type(mapping: Mapping, source: FieldInfo | None) -> FieldType | None:
    """None when it is not known."""
    made: FieldType | None = "text" if len(mapping.sources) > 1 else source.type if source else None
    for step in (WORDS[each] if isinstance(each, str) else each for each in mapping.transform):
        if isinstance(step, Default | TextStep) or not isinstance(step, Step):
            continue
        if isinstance(step, Number):
            made = "number"
        elif isinstance(step, Boolean):
            made = "boolean"
        elif isinstance(step, Day):
            made = "text" if step.date.out else "date"
        elif isinstance(step, Instant):
            made = "text" if step.datetime.out else "datetime"
        else:
            made = None if isinstance(step, Lookup) else "text"
    return made


def _outcome(value: Value, target: FieldInfo) -> str | None:
    text = str(value)
    if target.choices and text.casefold() not in {each.casefold() for each in target.choices}:
        return f"{target.name} does not list {text!r}, only {_named(target.choices)}"
    if target.type == "text" and target.length and len(text) > target.length:
        return f"{text!r} is longer than the {target.length} characters of {target.name}"
    if not _holds(target.type, value):
        return f"{text!r} is no {target.type}"
    return None


def _holds(kind: FieldType, value: Value) -> bool:
    try:
        match kind:
            case "number":
                return not isinstance(value, bool) and float(value or 0) is not None
            case "boolean":
                return isinstance(value, bool) or str(value).lower() in ("true", "false")
            case "date":
                return date.fromisoformat(str(value)) is not None
            case "datetime":
                return datetime.fromisoformat(str(value)) is not None
    except ValueError:
        return False
    return True


def _longest(mapping: Mapping, source: FieldInfo) -> int | None:
    """Characters; None when there is no telling."""
    longest = source.length if source.type == "text" else None
    for step in mapping.transform:
        if isinstance(step, Truncate):
            longest = min(longest or step.truncate, step.truncate)
        elif not isinstance(step, str | Split) or step in ("date", "datetime", "number", "boolean", "phone"):
            longest = None
    return longest


def _named(values: list[str] | tuple[str, ...]) -> str:
    more = len(values) - SHOWN
    return ", ".join(map(repr, values[:SHOWN])) + (f" and {more} more" if more > 0 else "")
