"""The one codec: JSON, and the checks that every contract shares.

A decoder first tries the shape that a message nearly always has: `shaped` checks it while it parses, at a third of the
cost. What has another shape is read by `take`, which names the place of what is missing or of the wrong type.
Attributes that a decoder does not know are ignored, so that a newer producer can be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast

import orjson
from msgspec import Meta, MsgspecError
from msgspec.json import Decoder

from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields

T = TypeVar("T")

Scalar = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | bool | None
"""A field's value in a shape; larger integers are left to the closer look."""
Text = Annotated[str, Meta(min_length=1)]


def encode(document: Mapping[str, Any]) -> bytes:
    """One JSON document. Raises Malformed for what JSON cannot carry (an integer over 64 bits, a foreign type)."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise Malformed(f"cannot be written as JSON: {error}") from error


def decode(raw: bytes | None) -> dict[str, Any]:
    """The JSON object in `raw`. Raises Malformed."""
    if raw is None:
        raise Malformed("the message has no value")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed(f"a JSON object is expected, not {type(document).__name__}")
    return document


def shaped(shape: type[T]) -> Callable[[bytes | None], T | None]:
    """A decoder to a msgspec.Struct. It gives None, for somebody to have a closer look, when the document has another
    shape, and when a text may hold U+0000 (see check_fields): in JSON it can be written in one way only."""
    decode = Decoder(shape).decode

    def read(raw: bytes | None) -> T | None:
        if raw is None or (b"\\" in raw and b"\\u0000" in raw):
            return None
        try:
            return decode(raw)
        except (MsgspecError, ValueError, RecursionError):
            return None

    return read


_MISSING = object()


def take(document: Mapping[str, Any], name: str, kind: type[T], where: str = "") -> T:
    """`document[name]`, which must be there and of `kind`. Raises Malformed naming the place."""
    value = document.get(name, _MISSING)
    if type(value) is kind or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    place = f"{where}.{name}" if where else name
    if value is _MISSING:
        raise Malformed(f"{place} is missing", fields=(place,))
    raise Malformed(f"{place} must be {kind.__name__}, not {type(value).__name__}", fields=(place,))


def take_optional(document: Mapping[str, Any], name: str, kind: type[T], where: str = "") -> T | None:
    """As `take`, but None when it is absent or null."""
    return None if document.get(name) is None else take(document, name, kind, where)


def take_one_of(document: Mapping[str, Any], name: str, choices: frozenset[str], where: str = "") -> Any:
    """`document[name]`, which must be one of a closed set. Raises Malformed."""
    value = document.get(name)
    if isinstance(value, str) and value in choices:
        return value
    place = f"{where}.{name}" if where else name
    raise Malformed(f"{place} must be one of {', '.join(sorted(choices))}, not {value!r}", fields=(place,))


def take_fields(document: Mapping[str, Any], name: str, where: str = "") -> Fields:
    """Field values, which must all be scalars that JSON can carry. Raises Malformed naming the fields."""
    fields = take(document, name, dict, where)
    check_fields(fields, f"{where}.{name}" if where else name)
    return cast(Fields, fields)


def check_fields(fields: Mapping[str, Any], where: str) -> None:
    """Raises Malformed when a value is no scalar, is a number that JSON lacks (NaN, infinity), or holds U+0000."""
    for field, value in fields.items():
        kind = type(value)
        if value is None or kind is bool or kind is int:
            continue
        if kind is str:
            if "\0" not in value:
                continue
            place = f"{where}.{field}"
            raise Malformed(f"{place} holds the character U+0000, which PostgreSQL cannot store", fields=(place,))
        if kind is float and math.isfinite(value):
            continue
        place = f"{where}.{field}"
        raise Malformed(f"{place} must be text, a finite number, true, false or null", fields=(place,))
