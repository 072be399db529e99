"""Values bound into SOQL statements, never pasted.

"Quoted String Escape Sequences", "Date Formats and Date Literals" and "SOQL and SOSL Limits" in the SOQL and SOSL
Reference. Braces hold the place of a value or of checked names:

    soql("SELECT {fields} FROM Contact WHERE Email IN {emails}", fields=Names(["Id", "Email"]), emails=[...])
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from string import Formatter
from typing import Any
from urllib.parse import quote

STRING_LIMIT = 4_000
"""Characters of one string in a WHERE clause."""
STATEMENT_LIMIT = 100_000
"""Characters of a statement."""
ADDRESS_LIMIT = 16_384 - 512
"""Bytes of a statement inside an address (414 above 16,384), less room for host and path."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
_ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"})


@dataclass(frozen=True, slots=True)
class Name:
    """An object, a field, or a path of relationships to one: `Account.Owner.Name`. Raises ValueError."""

    text: str

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.text):
            raise ValueError(f"not a name of an object or field: {self.text!r}")

    def __str__(self) -> str:
        return self.text


class Names:
    """Names for a SELECT list. One that comes twice, in whatever case, is kept once: Salesforce refuses repeats."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, Name] = {}
        for name in names:
            self._names.setdefault(name.lower(), Name(name))
        if not self._names:
            raise ValueError("a SELECT needs at least one name")

    def __str__(self) -> str:
        return ", ".join(map(str, self._names.values()))


def soql(template: str, /, **values: Any) -> str:
    """The statement with each {name} replaced by its value as a literal.

    str, bool, int, float, Decimal, None, date, aware datetime, a collection of them (for IN), Name, Names. A datetime
    goes out in UTC, cut to milliseconds. Raises TypeError for anything else, ValueError for what SOQL cannot hold and
    for a template that does not fit its values.
    """
    pieces: list[str] = []
    unused = set(values)
    for text, name in _parse(template):
        pieces.append(text)
        if name is not None:
            if name not in values:
                raise ValueError(f"no value for {{{name}}}")
            unused.discard(name)
            pieces.append(bind(values[name]))
    if unused:
        raise ValueError(f"the template has no place for {', '.join(sorted(unused))}")
    return "".join(pieces)


def chunks(template: str, /, *, over: str, **values: Any) -> Iterator[str]:
    """The statements that together ask for every member of the collection `over`, each short enough to be sent.

    Members are asked for once. None at all yields no statement. Raises as `soql`.
    """
    members = list(dict.fromkeys(values.pop(over)))
    frame = soql(template, **{over: Name("X")}, **values)
    if sum(name == over for _, name in _parse(template)) != 1:
        raise ValueError(f"the template must hold {{{over}}} once, since each statement has its own part of it")
    chars, room = len(frame) + 2, _sent(frame) + _sent("()")
    part: list[Any] = []
    length, size = chars, room
    for member in members:
        literal = bind(member)
        more_length, more_size = len(literal) + 1, _sent(literal) + _sent(",")
        if room + more_size > ADDRESS_LIMIT or chars + more_length > STATEMENT_LIMIT:
            raise ValueError("the statement is too long for Salesforce even with one value")
        if size + more_size > ADDRESS_LIMIT or length + more_length > STATEMENT_LIMIT:
            yield soql(template, **{over: part}, **values)
            part, length, size = [], chars, room
        part.append(member)
        length += more_length
        size += more_size
    if part:
        yield soql(template, **{over: part}, **values)


def bind(value: Any) -> str:
    """One value as a SOQL literal; raises as `soql`."""
    match value:
        case Name() | Names():
            return str(value)
        case str():
            return _string(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            return _number(value)
        case datetime():
            return _instant(value)
        case date():
            _check_year(value)
            return value.isoformat()
        case Mapping() | bytes() | bytearray():
            pass
        case Collection():
            if not value:
                raise ValueError("IN needs at least one value: skip the query when there is none")
            if any(isinstance(member, Collection | Name | Names) and not isinstance(member, str) for member in value):
                raise TypeError("a list in SOQL holds plain values only")
            return f"({','.join(bind(member) for member in value)})"
    raise TypeError(f"a {type(value).__name__} cannot be bound into SOQL")


def _parse(template: str) -> Iterator[tuple[str, str | None]]:
    """Texts and the names that follow them. A place inside quotes would let a value break out, so it is refused."""
    quoted = False
    for text, name, form, conversion in Formatter().parse(template):
        quoted ^= re.sub(r"\\.", "", text).count("'") % 2 == 1
        if name is not None and (quoted or form or conversion or not name.isidentifier()):
            raise ValueError(f"write {{{name}}} bare: no quotes around it, no format, no expression")
        yield text, name


def _string(value: str) -> str:
    if len(value) > STRING_LIMIT:
        raise ValueError(f"a string of {len(value)} characters cannot be compared in SOQL, only {STRING_LIMIT}")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("a string with half a surrogate pair cannot be sent")
    return f"'{value.translate(_ESCAPES)}'"


def _number(value: float | Decimal) -> str:
    exact = Decimal(str(value))
    if not exact.is_finite():
        raise ValueError(f"{value} is no number in SOQL")
    return format(exact, "f")


def _check_year(value: date) -> None:
    if not 1700 <= value.year <= 4000:
        raise ValueError(f"Salesforce knows the years 1700 to 4000, not {value.year}")


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a datetime without time zone names no instant; give it one")
    _check_year(value)
    instant = value.astimezone(UTC).replace(tzinfo=None)
    return instant.isoformat(timespec="milliseconds" if instant.microsecond >= 1000 else "seconds") + "Z"


def _sent(text: str) -> int:
    return len(quote(text, safe=""))
