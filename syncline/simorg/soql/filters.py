"""WHERE clauses: a condition becomes one function of a row.

Text is compared without case, an empty text is null, `!=` and NOT IN hold for null, other comparisons with null do not.
A date literal is a range: `<` is before its first moment, `>` after its last.
Rules: "Comparison Operators", "Filtering on Boolean Fields", "Date Formats and Date Literals" in the SOQL and SOSL
Reference.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from syncline.simorg.errors import SalesforceError
from syncline.simorg.ids import canonical
from syncline.simorg.metadata import Field
from syncline.simorg.soql.columns import Column, Columns, Getter
from syncline.simorg.soql.dates import day_range
from syncline.simorg.soql.parser import located, malformed
from syncline.simorg.soql.syntax import AllOf, AnyOf, Comparison, Condition, Literal, Not
from syncline.simorg.store import Record
from syncline.simorg.times import exact, midnight, parse_date, parse_datetime
from syncline.simorg.values import Value

Predicate = Callable[[Record], bool]
Range = tuple[str, str]
"""A half-open range of stored dates or datetimes: first, and what sorts just after the last."""

JUST_AFTER = "~"
"""Sorts after every character of a stamp or an id: `x + JUST_AFTER` ends the range that holds x alone."""

_ORDERING = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NUMBERS = {"int", "double", "currency", "percent"}
_WANTED = {
    "boolean": "boolean",
    "int": "int",
    "double": "double",
    "currency": "currency",
    "percent": "percent",
    "date": "date",
    "datetime": "dateTime",
}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


class Filters:
    """Compiles the conditions of one statement; `now` gives the relative dates their meaning."""

    def __init__(self, text: str, columns: Columns, now: datetime) -> None:
        self._text = text
        self._columns = columns
        self._today = now.date()

    def predicate(self, condition: Condition) -> Predicate:
        match condition:
            case AllOf(parts):
                tests = [self.predicate(part) for part in parts]
                return lambda record: all(test(record) for test in tests)
            case AnyOf(parts):
                tests = [self.predicate(part) for part in parts]
                return lambda record: any(test(record) for test in tests)
            case Not(part):
                test = self.predicate(part)
                return lambda record: not test(record)
            case Comparison():
                return self._comparison(condition)

    def equal_values(self, comparison: Comparison, field: Field) -> list[Value]:
        """The values of an `=` or IN on a field that is looked up by index, in stored form."""
        return [self._value(field, literal) for literal in comparison.values]

    def stamp_range(self, condition: Condition) -> tuple[str | None, str | None]:
        """The widest range of SystemModstamp in which the condition can hold; None is open."""
        match condition:
            case AllOf(parts):
                ranges = [self.stamp_range(part) for part in parts]
                lows = [low for low, _ in ranges if low is not None]
                highs = [high for _, high in ranges if high is not None]
                return max(lows, default=None), min(highs, default=None)
            case AnyOf(parts):
                ranges = [self.stamp_range(part) for part in parts]
                low = None if any(low is None for low, _ in ranges) else min(low for low, _ in ranges if low)
                high = None if any(high is None for _, high in ranges) else max(high for _, high in ranges if high)
                return low, high
            case Comparison() if is_stamp_range(condition):
                low, after = self._range(self._columns.resolve(condition.path).field, condition.values[0])
                return {
                    "=": (low, after),
                    "<": (None, low),
                    "<=": (None, after),
                    ">": (after, None),
                    ">=": (low, None),
                }[condition.operator]
            case _:
                return None, None

    def _comparison(self, comparison: Comparison) -> Predicate:
        column = self._columns.resolve(comparison.path)
        field, spelled, literals = column.field, comparison.operator, comparison.values
        if not field.filterable:
            raise self._columns.invalid_field(
                comparison.path, f"field '{field.name}' can not be filtered in a query call"
            )
        if spelled in {"includes", "excludes"}:
            return self._multipicklist(column, comparison)
        if spelled == "like":
            return self._like(column, comparison)
        if spelled in {"in", "not in"}:
            return self._among(column, literals, negated=spelled == "not in")
        literal = literals[0]
        if spelled in {"=", "!="}:
            return self._among(column, (literal,), negated=spelled == "!=")
        return self._ordering(column, comparison, literal)

    def _among(self, column: Column, literals: Sequence[Literal], *, negated: bool) -> Predicate:
        get, field = column.get, column.field
        if field.type in {"date", "datetime"}:
            ranges = [self._range(field, literal) for literal in literals if literal.kind != "null"]
            null = any(literal.kind == "null" for literal in literals)

            def in_ranges(record: Record) -> bool:
                value = get(record)
                found = null if value is None else any(low <= str(value) < after for low, after in ranges)
                return found != negated

            return in_ranges
        wanted = {None if value is None else field.key(value) for value in self._values(field, literals)}
        key = _key(field, get)
        if field.type == "boolean" and None in wanted:
            wanted.add(False)  # a boolean is never null: `= null` means false
        return (lambda record: key(record) not in wanted) if negated else (lambda record: key(record) in wanted)

    def _ordering(self, column: Column, comparison: Comparison, literal: Literal) -> Predicate:
        get, field = column.get, column.field
        if literal.kind == "null" or field.type == "boolean":
            raise self._invalid_operator(comparison, field)
        if field.type in {"date", "datetime"}:
            low, after = self._range(field, literal)
            bound, compare = {
                "<": (low, operator.lt),
                "<=": (after, operator.lt),
                ">": (after, operator.ge),
                ">=": (low, operator.ge),
            }[comparison.operator]
            return lambda record: (value := get(record)) is not None and compare(value, bound)
        wanted = field.key(self._value(field, literal))
        key, compare_keys = _key(field, get), _ORDERING[comparison.operator]
        if wanted is None:
            raise self._invalid_operator(comparison, field)
        return lambda record: (value := key(record)) is not None and compare_keys(value, wanted)

    def _like(self, column: Column, comparison: Comparison) -> Predicate:
        literal, get = comparison.values[0], column.get
        if not column.field.is_text:
            raise self._invalid_operator(comparison, column.field)
        if literal.kind != "string":
            raise self._wrong_type(column.field, literal)
        pattern = re.compile(_like_pattern(literal.text[1:-1]), re.IGNORECASE | re.DOTALL)
        return lambda record: (value := get(record)) is not None and pattern.fullmatch(str(value)) is not None

    def _multipicklist(self, column: Column, comparison: Comparison) -> Predicate:
        get, field = column.get, column.field
        if field.type != "multipicklist":
            raise self._invalid_operator(comparison, field)
        groups = [
            frozenset(str(value).lower().split(";"))
            for literal in comparison.values
            if (value := self._value(field, literal)) is not None
        ]

        def includes(record: Record) -> bool:
            chosen = set(str(get(record) or "").lower().split(";"))
            return any(group <= chosen for group in groups)

        return includes if comparison.operator == "includes" else lambda record: not includes(record)

    def _values(self, field: Field, literals: Sequence[Literal]) -> list[Value]:
        return [self._value(field, literal) for literal in literals]

    def _value(self, field: Field, literal: Literal) -> Value:
        """The literal in stored form. Raises INVALID_FIELD when it is not of the field's type."""
        kind = literal.kind
        if kind == "null":
            return None
        if field.type in {"id", "reference"}:
            return self._id(field, literal)
        if field.type == "boolean" and kind == "boolean":
            return literal.text.lower() == "true"
        if field.type in _NUMBERS and kind == "number":
            return float(literal.text)
        if field.is_text and kind == "string":
            return unquote(literal.text) or None
        raise self._wrong_type(field, literal)

    def _id(self, field: Field, literal: Literal) -> Value:
        if literal.kind != "string":
            raise self._wrong_type(field, literal)
        text = unquote(literal.text)
        if not text:
            return None
        id18 = canonical(text)
        if id18 is None:
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}", literal)
        return id18

    def _range(self, field: Field, literal: Literal) -> Range:
        """What the literal covers on a date or datetime field."""
        try:
            if literal.kind == "relative":
                first, end = day_range(literal.text, self._today)
            elif literal.kind == "date" and field.type == "date":
                first = parse_date(literal.text)
                end = first + timedelta(days=1)
            elif literal.kind == "datetime" and field.type == "datetime":
                moment = exact(parse_datetime(literal.text.upper()))
                return moment, moment + JUST_AFTER
            else:
                raise self._wrong_type(field, literal)
        except ValueError:
            raise self._wrong_type(field, literal) from None
        if field.type == "date":
            return first.isoformat(), end.isoformat()
        return midnight(first), midnight(end)

    def _wrong_type(self, field: Field, literal: Literal) -> SalesforceError:
        wanted = _WANTED.get(field.type)
        form = f"of type {wanted} and should not" if wanted else "of type string and should"
        message = f"value of filter criterion for field '{field.name}' must be {form} be enclosed in quotes"
        return self._error("INVALID_FIELD", message, literal)

    def _invalid_operator(self, comparison: Comparison, field: Field) -> SalesforceError:
        message = f"invalid operator on {field.type} field"
        located_at = located(message, self._text, comparison.path.line, comparison.path.column)
        return SalesforceError(400, "INVALID_QUERY_FILTER_OPERATOR", located_at)

    def _error(self, code: str, message: str, literal: Literal) -> SalesforceError:
        return SalesforceError(400, code, located(message, self._text, literal.line, literal.column))


def is_stamp_range(condition: Condition) -> bool:
    """A bound on the row's own SystemModstamp, which the index answers in full."""
    return (
        isinstance(condition, Comparison)
        and condition.path.text.lower() == "systemmodstamp"
        and condition.operator in {"=", "<", "<=", ">", ">="}
        and condition.values[0].kind != "null"
    )


def unquote(text: str) -> str:
    """The text that a quoted literal stands for. Raises MALFORMED_QUERY for an escape that does not exist."""
    return _ESCAPE.sub(lambda match: _unescaped(match[1]), text[1:-1])


def _unescaped(escape: str) -> str:
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if escape in "\\'\"%_":
        return escape
    if escape[0] == "u" and len(escape) == 5:
        return chr(int(escape[1:], 16))
    raise malformed(f"invalid escape sequence '\\{escape[0]}'")


def _like_pattern(text: str) -> str:
    """`%` is any text, `_` any character, unless escaped."""
    parts: list[str] = []
    for escape, plain in re.findall(r"\\(u[0-9A-Fa-f]{4}|.)|(.)", text, re.DOTALL):
        parts.append({"%": ".*", "_": "."}.get(plain) or re.escape(plain or _unescaped(escape)))
    return "".join(parts)


def _key(field: Field, get: Getter) -> Getter:
    if field.type == "boolean":
        return lambda record: bool(get(record))
    if not field.is_text or field.case_sensitive:
        return get
    return lambda record: None if (value := get(record)) is None else str(value).lower()
