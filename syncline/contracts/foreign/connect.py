"""Values of Kafka Connect's schemas as plain fields, in the forms in which the hub's own rows are read."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from syncline.contracts.foreign.door import refusal
from syncline.contracts.ref import Value

UNREADABLE = (
    "Map another column, or let the connector write plain values: time.precision.mode=isostring, "
    "decimal.handling.mode=double."
)
DIGITS = 1_000
BITS = 4_096
"""Of a decimal's scale and its unscaled value; more is no number that anybody sent on purpose."""

_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Connect's dates and local timestamps have no zone
_DATES = {"io.debezium.time.Date", "org.apache.kafka.connect.data.Date"}
_TIMESTAMPS = {
    "io.debezium.time.Timestamp": 1000.0,
    "org.apache.kafka.connect.data.Timestamp": 1000.0,
    "io.debezium.time.MicroTimestamp": 1.0,
    "io.debezium.time.NanoTimestamp": 0.001,
}
"""Schema name to microseconds in a unit."""
_TIMES = {
    "io.debezium.time.Time": 1000.0,
    "org.apache.kafka.connect.data.Time": 1000.0,
    "io.debezium.time.MicroTime": 1.0,
    "io.debezium.time.NanoTime": 0.001,
}
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_VARIABLE_DECIMAL = "io.debezium.data.VariableScaleDecimal"


@dataclass(frozen=True, slots=True)
class Column:
    """The name of a logical type, and the scale of a decimal."""

    type: str
    scale: Any = None


Columns = dict[str, Column]


def columns(schema: Any, side: str) -> Columns:
    """The columns of `before` or `after` by an envelope's schema; none without one."""
    for each in _fields(schema):
        if each.get("field") == side:
            return of(each)
    return {}


def of(schema: Any) -> Columns:
    """The columns of a row's schema that are more than they look."""
    found: Columns = {}
    for each in _fields(schema):
        name, type_, parameters = each.get("field"), each.get("name"), each.get("parameters")
        if isinstance(name, str) and isinstance(type_, str):
            found[name] = Column(type_, parameters.get("scale") if isinstance(parameters, dict) else None)
    return found


def _fields(schema: Any) -> list[Mapping[str, Any]]:
    found = schema.get("fields") if isinstance(schema, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def plain(value: Any, column: Column | None, place: str) -> Value:
    """Dates as 2026-01-31, timestamps without a zone as 2026-01-31T12:00:00.000, decimals as numbers. What has no
    logical type is taken as it is. Raises RecordRejected for what no field can hold."""
    if value is None:
        return None
    if column is not None:
        try:
            if column.type in _DATES:
                return _moment(_whole(value), _DAY).date().isoformat()
            if column.type in _TIMESTAMPS:
                return _moment(_whole(value), _TIMESTAMPS[column.type]).isoformat(timespec="milliseconds")
            if column.type in _TIMES:
                return _moment(_whole(value), _TIMES[column.type]).time().isoformat(timespec="milliseconds")
            if column.type == _DECIMAL:
                return _number(value, column.scale)
            if column.type == _VARIABLE_DECIMAL and isinstance(value, dict):
                return _number(value.get("value"), value.get("scale"))
        except (ValueError, OverflowError, binascii.Error):
            raise refusal(f"{place} is no {column.type}: {value!r:.60}", UNREADABLE, place) from None
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise refusal(f"{place} is {_kind(value)}, which no field can hold", UNREADABLE, place)


def _moment(count: int, unit: float) -> datetime:
    return _EPOCH + timedelta(microseconds=count // 1000 if unit < 1 else count * int(unit))


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(value)


def _number(value: Any, scale: Any) -> int | float:
    """Connect writes a decimal as the base64 of its unscaled value, and the scale as text in the schema."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value  # json.decimal.format=NUMERIC
    digits = int(scale if isinstance(scale, int | str) else "-")
    if not isinstance(value, str) or abs(digits) > DIGITS:
        raise ValueError(value)
    unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
    if unscaled.bit_length() > BITS:
        raise ValueError(value)
    exact = Decimal(unscaled).scaleb(-digits)
    if digits <= 0 and abs(exact) < 2**63:
        return int(exact)
    number = float(exact)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _kind(value: Any) -> str:
    return "an array" if isinstance(value, list) else "a structure" if isinstance(value, dict) else "no finite number"
