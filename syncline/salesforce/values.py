"""Values as Salesforce stores and returns them, pure: by the field's type in its describe.

"Field Types" and "Primitive Data Types" in the Object Reference. What cannot be the field's is left as it is, for
Salesforce to refuse with its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import orjson

from syncline.contracts.ref import Value

BLANK = " \t\n\r\f\v"
"""Trimmed from the ends of text; a no-break space is not."""


def canonical(kind: str, value: Value) -> Value:
    """kind: `type` in the describe. The value that a read will show after this one was written."""
    form = _FORMS.get(kind, _text)
    if isinstance(value, str):
        value = value.strip(BLANK) or None
    if value is None:
        return False if kind == "boolean" else None  # a checkbox is never empty
    with suppress(ValueError, OverflowError):
        return form(value)
    return value


def literal(kind: str, value: Value) -> Any:
    """The value to bind into SOQL, which takes dates, numbers and text for fields of just that type. Raises ValueError
    for what the field cannot hold."""
    shown = canonical(kind, value)
    match kind:
        case "datetime":
            return datetime.fromisoformat(str(shown))
        case "date":
            return date.fromisoformat(str(shown))
        case "int" | "long" | "double" | "currency" | "percent" | "boolean" if isinstance(shown, str):
            raise ValueError(f"{shown!r} is no {kind}")
    return shown


def fold(kind: str, value: Value) -> Value:
    """Equal for values that SOQL holds for equal: it compares text without regard to case."""
    shown = canonical(kind, value)
    return shown.casefold() if isinstance(shown, str) else shown


def version(stamp: datetime) -> str:
    """As in the change events of a poll. Salesforce's stamps have whole seconds."""
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _text(value: str | int | float | bool) -> Value:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _number(value: str | int | float | bool) -> Value:
    if isinstance(value, bool):
        return value
    return float(value) if isinstance(value, str) else value


def _integer(value: str | int | float | bool) -> Value:
    number = _number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _boolean(value: str | int | float | bool) -> Value:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower(), value)


def _instant(value: str | int | float | bool) -> Value:
    """Cut to the second, in UTC. Without a time zone it is no instant, and Salesforce refuses it."""
    instant = datetime.fromisoformat(str(value))
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000") if instant.tzinfo else value


def _as_it_comes(value: str | int | float | bool) -> Value:
    return value


_FORMS: dict[str, Callable[[str | int | float | bool], Value]] = {
    **dict.fromkeys(("double", "currency", "percent"), _number),
    **dict.fromkeys(("int", "long"), _integer),
    **dict.fromkeys(("date", "time"), _as_it_comes),
    "boolean": _boolean,
    "datetime": _instant,
}
"""Every other type is text."""
