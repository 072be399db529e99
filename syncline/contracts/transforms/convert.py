"""What the steps of the mapping language do to one value; pure.

Text steps take text and give text. The others take any value but an empty one, and raise Unconvertible, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from zoneinfo import ZoneInfo

import phonenumbers

from syncline.contracts.ref import Value

Text = Callable[[str], str]
Convert = Callable[[Value], Value]

TRUTHY = ("true", "yes", "y", "on", "1")
FALSY = ("false", "no", "n", "off", "0")

_BLANKS = re.compile(r"\s+")
_EXACT = Context(prec=400)
"""Digits enough to round whatever a float can hold."""
_LONGEST_NUMBER = 40
"""Characters; more is no amount that anybody typed."""


class Unconvertible(Exception):
    """The value is of no use to this step. The message says what was wanted and of what, but never the value."""

    def __init__(self, wanted: str, value: Value) -> None:
        super().__init__(f"cannot make {wanted} of {kind(value)}")


def kind(value: Value) -> str:
    """The type of a value, in words."""
    match value:
        case None:
            return "an empty value"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case _:
            return "this text"


def empty(value: Value) -> bool:
    return value is None or value == ""


def text(value: Value) -> str:
    """As a person would write it: whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def collapse(value: str) -> str:
    """Runs of blanks, line breaks included, as one blank; none at the ends."""
    return _BLANKS.sub(" ", value).strip()


def joined(values: Sequence[Value], separator: str) -> str:
    """Empty values are left out, and so is what surrounds them."""
    return separator.join(text(value) for value in values if not empty(value))


def part(value: str, by: str, at: int) -> str:
    """Nothing where there is no such part; `at` counts from 0, or from the end when negative."""
    parts = value.split(by)
    return parts[at] if -len(parts) <= at < len(parts) else ""


def found(value: Value, table: Mapping[str, Value]) -> Value:
    key = text(value)
    if key not in table:
        raise Unconvertible("an entry of the lookup table", value)
    return table[key]


def number(value: Value, decimal: str, places: int | None) -> Value:
    """Text may group its digits by blanks, apostrophes, and by whichever of `.` and `,` is not the decimal sign."""
    if isinstance(value, bool) or value is None:
        raise Unconvertible("a number", value)
    if isinstance(value, str):
        exact = Decimal(_digits(value, decimal))
    elif value != value or value in (float("inf"), float("-inf")):
        raise Unconvertible("a finite number", value)
    elif places is None:
        return value
    else:
        exact = Decimal(repr(value))
    if places is not None:
        exact = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT)
    whole = exact == exact.to_integral_value()
    return int(exact) if whole and -(2**63) <= exact < 2**63 else float(exact)


def _digits(value: str, decimal: str) -> str:
    other = "," if decimal == "." else "."
    plain = value.strip()
    grouped = rf"[+-]?(?:\d+|\d{{1,3}}(?:[{re.escape(other)}\s'’]\d{{3}})+)?(?:{re.escape(decimal)}\d*)?"
    if len(plain) > _LONGEST_NUMBER or not re.fullmatch(grouped, plain, re.ASCII) or not re.search(r"[0-9]", plain):
        raise Unconvertible("a number", value)
    return re.sub(rf"[{re.escape(other)}\s'’]", "", plain).replace(decimal, ".")


def boolean(value: Value, truthy: frozenset[str], falsy: frozenset[str]) -> Value:
    if isinstance(value, bool):
        return value
    word = text(value).strip().lower()
    if word in truthy:
        return True
    if word in falsy:
        return False
    raise Unconvertible("a boolean", value)


def moment(value: Value, written: str | None, zone: ZoneInfo) -> datetime:
    """written: as strptime takes it, None for ISO 8601. A time without a zone of its own is one of `zone`."""
    if not isinstance(value, str):
        raise Unconvertible("a time", value)
    try:
        told = datetime.strptime(value.strip(), written) if written else datetime.fromisoformat(value.strip())  # noqa: DTZ007
        return (told if told.tzinfo else told.replace(tzinfo=zone)).astimezone(zone)
    except (ValueError, OverflowError):
        raise Unconvertible(f"a time written as {written or 'ISO 8601'}", value) from None


def instant(value: Value, written: str | None, zone: ZoneInfo, out: str | None) -> Value:
    """ISO 8601 in UTC, or as `out` writes it in `zone`."""
    told = moment(value, written, zone)
    try:
        return told.strftime(out) if out else told.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise Unconvertible("a time", value) from None


def day(value: Value, written: str | None, zone: ZoneInfo, out: str | None) -> Value:
    """The day that it is in `zone`. A day without time is that day everywhere."""
    told = _day(value, written)
    if told is None:
        told = moment(value, written, zone).date()
    return told.strftime(out) if out else told.isoformat()


def _day(value: Value, written: str | None) -> date | None:
    """Of text that names a day and no instant."""
    if not isinstance(value, str):
        return None
    try:
        told = datetime.strptime(value.strip(), written) if written else datetime.fromisoformat(value.strip())  # noqa: DTZ007
    except ValueError:
        return None
    return told.date() if told.tzinfo is None else None


def phone(value: Value, country: str | None) -> Value:
    """E.164: +493012345678. country: of numbers that are written without one. An extension is left out."""
    if isinstance(value, bool):
        raise Unconvertible("a phone number", value)
    try:
        told = phonenumbers.parse(text(value), country)
    except phonenumbers.NumberParseException:
        raise Unconvertible("a phone number", value) from None
    if phonenumbers.is_possible_number_with_reason(told) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise Unconvertible("a phone number of the right length", value)
    return phonenumbers.format_number(told, phonenumbers.PhoneNumberFormat.E164)


def check_zone(name: str) -> str:
    """Raises ValueError."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; they are named like Europe/Berlin") from None
    return name


def check_country(code: str | None) -> str | None:
    """Raises ValueError."""
    if code is not None and code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"there is no country {code!r}; they are named like DE or US")
    return code


def check_day(written: str) -> str:
    """Raises ValueError when text of this format does not tell a day in full."""
    return _checked(written, "the day", lambda told: told.date())


def check_instant(written: str) -> str:
    """Raises ValueError when text of this format does not tell day, hour and minute."""
    return _checked(written, "day, hour and minute", lambda told: told.replace(second=0, tzinfo=None))


def check_out(written: str) -> str:
    """Raises ValueError for text that says nothing of the time."""
    if _SAMPLE.strftime(written) == written:
        raise ValueError(f"{written!r} says nothing of the time: write it as in %d.%m.%Y")
    return written


_SAMPLE = datetime(2031, 10, 29, 17, 46, 0, tzinfo=UTC)


def _checked(written: str, what: str, told: Callable[[datetime], object]) -> str:
    try:
        read = datetime.strptime(_SAMPLE.strftime(written), written)  # noqa: DTZ007
    except ValueError as error:
        raise ValueError(f"{written!r} is no format of a time: {error}") from None
    if told(read) != told(_SAMPLE):
        raise ValueError(f"{written!r} does not tell {what}")
    return written
