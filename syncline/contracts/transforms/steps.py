"""The steps of the mapping language as they are written: a word, or a mapping of one key.

Commands carry them as written (`destination` fields are transformed by the writer), so they are part of the contract.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from syncline.contracts.ref import Value
from syncline.contracts.transforms import convert
from syncline.contracts.transforms.convert import FALSY, TRUTHY, Convert, Text

Word = Literal[
    "trim", "collapse", "upper", "lower", "title", "concat", "number", "boolean", "date", "datetime", "phone"
]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Step(Shape):
    """A step with something to say. Its only field has the step's name."""

    @abstractmethod
    def function(self) -> Convert:
        """Never called with an empty value. Raises Unconvertible."""


class TextStep(Step):
    """Text to text; any other value passes through."""

    @abstractmethod
    def text(self) -> Text: ...

    def function(self) -> Convert:
        return on_text(self.text())


def on_text(function: Text) -> Convert:
    return lambda value: function(value) if isinstance(value, str) else value


class Truncate(TextStep):
    truncate: int = Field(ge=1)
    """Most characters that are kept."""

    def text(self) -> Text:
        most = self.truncate
        return lambda value: value[:most]


class SplitBy(Shape):
    by: str = Field(min_length=1)
    at: int = 0
    """Which part, from 0; negative numbers count from the end."""


class Split(TextStep):
    split: SplitBy

    def text(self) -> Text:
        return partial(convert.part, by=self.split.by, at=self.split.at)


class Concat(Step):
    concat: str
    """Between the source fields' values; empty ones are left out."""

    def function(self) -> Convert:
        return convert.text

    def join(self, values: Sequence[Value]) -> Value:
        return convert.joined(values, self.concat)


def _keys(table: Any) -> Any:
    """YAML reads an unquoted `no` as false, and the entry would never be found."""
    if isinstance(table, dict):
        if booleans := [str(key).lower() for key in table if isinstance(key, bool)]:
            raise ValueError(f"YAML read a key as {booleans[0]}: put keys such as no, yes, on, off in quotes")
        return {convert.text(key) if isinstance(key, int | float) else key: value for key, value in table.items()}
    return table


class Table(Shape):
    values: Annotated[dict[str, Value] | None, BeforeValidator(_keys)] = None
    file: str | None = None
    """A CSV file beside this one, of two columns under a line of headings: what to look for, and what to put."""
    default: Value = None
    """For what the table does not list; without it, such a record becomes a dead letter."""

    @model_validator(mode="after")
    def _filled(self) -> Table:
        if self.values is None:
            raise ValueError("a lookup has `values`, or a `file` that holds them")
        return self

    @property
    def results(self) -> list[Value]:
        """Everything that may come of it."""
        own = [self.default] if "default" in self.model_fields_set else []
        return [*dict.fromkeys((self.values or {}).values()), *own]


class Lookup(Step):
    lookup: Table

    def function(self) -> Convert:
        table = self.lookup.values or {}
        if "default" in self.lookup.model_fields_set:
            default = self.lookup.default
            return lambda value: table.get(convert.text(value), default)
        return partial(convert.found, table=table)


class Digits(Shape):
    decimal: Literal[".", ","] = "."
    """The decimal sign of text."""
    round: int | None = Field(None, ge=0, le=15)
    """Decimal places; half is rounded away from zero."""


class Number(Step):
    number: Digits

    def function(self) -> Convert:
        return partial(convert.number, decimal=self.number.decimal, places=self.number.round)


class Words(Shape):
    truthy: list[str] = list(TRUTHY)
    """Words that mean true, in any case."""
    falsy: list[str] = list(FALSY)
    """Words that mean false, in any case."""


class Boolean(Step):
    boolean: Words

    def function(self) -> Convert:
        truthy, falsy = ({word.strip().lower() for word in each} for each in (self.boolean.truthy, self.boolean.falsy))
        return partial(convert.boolean, truthy=frozenset(truthy), falsy=frozenset(falsy))


def _format(value: Any) -> Any:
    return {"format": value} if isinstance(value, str) else value


Zone = Annotated[str, AfterValidator(convert.check_zone)]


class DayShape(Shape):
    format: Annotated[str, AfterValidator(convert.check_day)] | None = None
    """How the text is written, as strptime takes it (%d.%m.%Y); None is ISO 8601."""
    zone: Zone = "UTC"
    """Where it is that day, for a text that names an instant."""
    out: Annotated[str, AfterValidator(convert.check_out)] | None = None
    """How to write it, as strftime takes it; None is ISO 8601."""


class Day(Step):
    date: Annotated[DayShape, BeforeValidator(_format, json_schema_input_type=str | DayShape)]

    def function(self) -> Convert:
        given = self.date
        return partial(convert.day, written=given.format, zone=ZoneInfo(given.zone), out=given.out)


class InstantShape(Shape):
    format: Annotated[str, AfterValidator(convert.check_instant)] | None = None
    """How the text is written, as strptime takes it (%d.%m.%Y %H:%M); None is ISO 8601."""
    zone: Zone = "UTC"
    """Of times that are written without one, and of `out`."""
    out: Annotated[str, AfterValidator(convert.check_out)] | None = None
    """How to write it, as strftime takes it; None is ISO 8601 in UTC."""


class Instant(Step):
    datetime: Annotated[InstantShape, BeforeValidator(_format, json_schema_input_type=str | InstantShape)]

    def function(self) -> Convert:
        given = self.datetime
        return partial(convert.instant, written=given.format, zone=ZoneInfo(given.zone), out=given.out)


class Phone(Step):
    phone: Annotated[str | None, AfterValidator(convert.check_country)]
    """Country (DE, US) of numbers that are written without one."""

    def function(self) -> Convert:
        return partial(convert.phone, country=self.phone)


class Default(Step):
    default: Value
    """In place of an empty value, and of one that a step before this could not convert."""

    def function(self) -> Convert:
        return lambda value: value


WORDS: dict[Word, Text | Step] = {
    "trim": str.strip,
    "collapse": convert.collapse,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "concat": Concat(concat=" "),
    "number": Number(number=Digits()),
    "boolean": Boolean(boolean=Words()),
    "date": Day(date=DayShape()),
    "datetime": Instant(datetime=InstantShape()),
    "phone": Phone(phone=None),
}

KEYS = ("concat", "split", "truncate", "lookup", "number", "boolean", "date", "datetime", "phone", "default")


def _which(value: Any) -> str | None:
    if isinstance(value, Step):
        return next(iter(type(value).model_fields))
    if isinstance(value, dict) and len(value) == 1:
        (key,) = value
        return key if key in KEYS else None
    return "word" if isinstance(value, str) and value in get_args(Word) else None


Transform = Annotated[
    Annotated[Word, Tag("word")]
    | Annotated[Concat, Tag("concat")]
    | Annotated[Split, Tag("split")]
    | Annotated[Truncate, Tag("truncate")]
    | Annotated[Lookup, Tag("lookup")]
    | Annotated[Number, Tag("number")]
    | Annotated[Boolean, Tag("boolean")]
    | Annotated[Day, Tag("date")]
    | Annotated[Instant, Tag("datetime")]
    | Annotated[Phone, Tag("phone")]
    | Annotated[Default, Tag("default")],
    Discriminator(
        _which,
        custom_error_type="step",
        custom_error_message=f"a step is one of {', '.join(get_args(Word))}, or a mapping by one of {', '.join(KEYS)}",
    ),
]
