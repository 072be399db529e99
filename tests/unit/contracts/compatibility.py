"""What a change of a JSON Schema breaks for those who were built on the released one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
LOWER = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
UPPER = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
EXACT = ("pattern", "format", "contentEncoding", "if", "then", "else", "not", "allOf", "oneOf", "$ref")
"""Keywords whose effect is not compared: they must stay as they are, or go."""
KINDS = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict, "array": list}


def breaks(released: Schema, now: Schema, *, produced: bool = False) -> list[str]:
    """Every message that was right must stay right: nothing is removed, narrowed or newly required.

    produced: we write these messages and others read them by the released schema, so that what is there may not become
    wider or optional either. New optional fields are no break: readers pass over what they do not know.
    """
    found = [f"{place}: {what}" for place, what in _narrowed(released, now, "")]
    if produced:
        words = {"narrowed": "widened", "newly required": "no longer required"}
        known = _without_new_fields(now, released)
        found += [f"{place}: {words[what]}" for place, what in _narrowed(known, released, "") if what in words]
    return found


def _narrowed(wide: Schema, narrow: Schema, place: str) -> Iterator[tuple[str, str]]:
    """Where a message that `wide` takes may be refused by `narrow`, or loses a field."""
    if "anyOf" in wide or "anyOf" in narrow:
        others = _branches(narrow)
        if any(all(list(_narrowed(one, other, "")) for other in others) for one in _branches(wide)):
            yield place or "the message", "narrowed"
        return
    if not _takes(narrow, wide):
        yield place or "the message", "narrowed"
    for name in sorted(set(narrow.get("required", ())) - set(wide.get("required", ()))):
        yield _below(place, name), "newly required"
    after = narrow.get("properties", {})
    for name, schema in wide.get("properties", {}).items():
        if name in after:
            yield from _narrowed(schema, after[name], _below(place, name))
        else:
            yield _below(place, name), "removed"
    for keyword, name in (("items", "[]"), ("additionalProperties", "*")):
        one, other = _schema(wide.get(keyword)), _schema(narrow.get(keyword))
        if one != other:
            yield from _narrowed(one, other, _below(place, name))


def _takes(narrow: Schema, wide: Schema) -> bool:
    """By the keywords of this place alone."""
    if (values := _values(narrow)) is not None and not ((given := _values(wide)) is not None and given <= values):
        return False
    if not _kinds(wide) <= _kinds(narrow):
        return False
    if any(narrow.get(each, float("-inf")) > wide.get(each, float("-inf")) for each in LOWER):
        return False
    if any(narrow.get(each, float("inf")) < wide.get(each, float("inf")) for each in UPPER):
        return False
    return not any(each in narrow and narrow[each] != wide.get(each) for each in EXACT)


def _branches(schema: Schema) -> list[Schema]:
    if "anyOf" in schema:
        return [each for one in schema["anyOf"] for each in _branches(one)]
    kinds = schema.get("type")
    return [{**schema, "type": kind} for kind in kinds] if isinstance(kinds, list) else [schema]


def _values(schema: Schema) -> frozenset[str] | None:
    """None is any value."""
    if "const" in schema:
        return frozenset({json.dumps(schema["const"])})
    return frozenset(map(json.dumps, schema["enum"])) if "enum" in schema else None


def _kinds(schema: Schema) -> frozenset[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        of_values = {next((kind for kind, type_ in KINDS.items() if type(each) is type_), "null") for each in values}
        return frozenset(of_values)
    given = schema.get("type", [*KINDS, "null"])
    kinds = frozenset([given] if isinstance(given, str) else given)
    return kinds | {"integer"} if "number" in kinds else kinds


def _without_new_fields(now: Schema, released: Schema) -> Schema:
    if "properties" not in released or "properties" not in now:
        return now
    known = released["properties"]
    return {
        **now,
        "properties": {
            name: _without_new_fields(now["properties"][name], known[name])
            for name in known.keys() & now["properties"].keys()
        },
    }


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _schema(value: Any) -> Schema:
    """An absent schema takes everything, as true does; false takes nothing."""
    return value if isinstance(value, dict) else {"enum": []} if value is False else {}
