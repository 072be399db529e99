"""Single values of pipelines.yaml from the environment: `SYNCLINE__PIPELINES__ACCOUNT_TO_COMPANY__DELETE_LIMIT=5`.

A part of a name stands for the key that it spells when letters are taken as capitals and every other sign as `_`. A key
that is not in the file yet is taken in lower case. Where a name could mean two places it is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from syncline.config.files import PARTS, Place

PREFIX = "SYNCLINE__"
SEPARATOR = "__"


def overridden(document: Any, environ: Mapping[str, str]) -> tuple[Any, dict[Place, str], list[str]]:
    """The document with these values, the variable behind each place, and the faults. `document` is left as it is."""
    places: dict[Place, str] = {}
    faults: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not isinstance(document, dict):
            continue
        found = sorted(set(_places(document, variable.removeprefix(PREFIX), ())), key=str)
        value, fault = _value(environ[variable])
        if fault or len(found) != 1:
            faults.append(f"{variable}: {fault or _unclear(found)}")
        elif found[0] in places:
            faults.append(f"{variable}: {places[found[0]]} says the same")
        else:
            places[found[0]] = variable
            document = _with(document, found[0], value)
    return document, places, faults


def spelled(key: object) -> str:
    return re.sub(r"[^A-Z0-9]", "_", str(key).upper())


def _places(node: Any, name: str, at: Place) -> Iterator[Place]:
    """Every place that `name` may mean below `node`, which is at `at`."""
    if isinstance(node, list):
        number, _, rest = name.partition(SEPARATOR)
        if number.isdigit() and int(number) < len(node):
            here = (*at, int(number))
            yield from _places(node[int(number)], rest, here) if rest else [here]
        return
    if not isinstance(node, dict):
        return
    known = False
    for key, child in node.items():
        if spelled(key) == name:
            known = True
            yield (*at, key)
        elif name.startswith(spelled(key) + SEPARATOR):
            known = True
            yield from _places(child, name.removeprefix(spelled(key) + SEPARATOR), (*at, key))
    # Systems and pipelines are not made from variables: a misspelled one would be a new one.
    if not known and len(at) >= 2 and all(parts := name.split(SEPARATOR)):
        yield (*at, *(part.lower() for part in parts))


def _value(text: str) -> tuple[Any, str | None]:
    """Read as though it stood in the file; what is wrong with it is told without the value."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None, "its value is not YAML: put text with special signs in quotes"
    return (None, "sets single values and lists, not mappings") if isinstance(value, dict) else (value, None)


def _unclear(found: list[Place]) -> str:
    if not found:
        return f"means nothing in pipelines.yaml: say {' or '.join(PARTS)}, a name in the file, and keys up to a value"
    return f"may mean {' or '.join('.'.join(map(str, place)) for place in found)}: change it in the file"


def _with(node: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    first, *rest = place
    if isinstance(node, list):
        return [_with(each, tuple(rest), value) if number == first else each for number, each in enumerate(node)]
    held = node if isinstance(node, dict) else {}
    return {**held, first: _with(held.get(first), tuple(rest), value)}
