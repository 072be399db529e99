"""Values as the hub stores and shows them, pure: by column type, in the form that `syncline.hub.records` reads.

What cannot be the column's is left as it is, for PostgreSQL to refuse with its own words.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import orjson

from syncline.contracts.ref import Value
from syncline.hub.tables import Column

_WORDS = {"true": True, "t": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "f", "no", "off", "0"), False
)
_SCALE = re.compile(r"numeric\(\d+,(\d+)\)")


def canonical(column: Column, value: Value) -> Value:
    """The value that a read will show after this one was written."""
    form = _FORMS.get(column.type)
    if value is None or (form and isinstance(value, str) and not value.strip()):
        return None
    if form is None:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        return text.rstrip(" ") if column.type == "bpchar" else text
    with suppress(ValueError, ArithmeticError, struct.error):
        return form(column, value)
    return value


def row_id(column: Column, text: str) -> str | None:
    """The id as the key column shows it; None where it cannot be one, so that no record has it."""
    if column.type == "uuid":
        with suppress(ValueError):
            return str(UUID(text))
        return None
    if column.type in ("int2", "int4", "int8"):
        bits = 8 * int(column.type[3:])
        number = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
        return None if number is None or not -(1 << bits - 1) <= number < 1 << bits - 1 else str(number)
    return text


def _integer(_: Column, value: Value) -> Value:
    exact = _decimal(value)
    return int(exact) if exact == exact.to_integral_value() else value


def _numeric(column: Column, value: Value) -> Value:
    exact = _decimal(value)
    if scale := _SCALE.fullmatch(column.declared):
        exact = exact.quantize(Decimal(1).scaleb(-int(scale[1])), ROUND_HALF_UP)
    return float(exact)


def _single(_: Column, value: Value) -> Value:
    single: float = struct.unpack("f", struct.pack("f", _decimal(value)))[0]
    return single


def _decimal(value: Value) -> Decimal:
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    exact = Decimal(str(value).strip())
    if not exact.is_finite():
        raise ValueError("JSON has no such number")
    return exact


def _boolean(_: Column, value: Value) -> Value:
    return value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower(), value)


def _uuid(_: Column, value: Value) -> Value:
    return str(UUID(str(value)))


def _date(_: Column, value: Value) -> Value:
    return datetime.fromisoformat(str(value).strip()).date().isoformat()


def _instant(_: Column, value: Value) -> Value:
    instant = datetime.fromisoformat(str(value).strip())
    if instant.tzinfo is None:
        return value  # which instant it is, the server's time zone decides
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _wall_clock(_: Column, value: Value) -> Value:
    return datetime.fromisoformat(str(value).strip()).replace(tzinfo=None).isoformat(timespec="milliseconds")


_FORMS: dict[str, Callable[[Column, Value], Value]] = {
    **dict.fromkeys(("int2", "int4", "int8"), _integer),
    **dict.fromkeys(("numeric", "float8"), _numeric),
    "float4": _single,
    "bool": _boolean,
    "uuid": _uuid,
    "date": _date,
    "timestamptz": _instant,
    "timestamp": _wall_clock,
}
