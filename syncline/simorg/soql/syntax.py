"""The syntax tree of a SOQL statement. Positions are 1-based, as Salesforce's messages count them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf

LiteralKind = OneOf["string", "number", "boolean", "null", "date", "datetime", "relative"]


@dataclass(frozen=True, slots=True)
class Path:
    """`Account.Owner.Name`, or the name of an object."""

    text: str
    line: int
    column: int

    @property
    def names(self) -> list[str]:
        return self.text.split(".")


@dataclass(frozen=True, slots=True)
class Literal:
    """`text` is as written, quotes and escapes included."""

    kind: LiteralKind
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator`: = != < <= > >= like, in, not in, includes, excludes; only the last four take several values."""

    path: Path
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


Condition = Comparison | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class OrderKey:
    """`nulls_last` is None where the statement does not say."""

    path: Path
    descending: bool = False
    nulls_last: bool | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """`fields` is None for COUNT()."""

    text: str
    fields: tuple[Path, ...] | None
    source: Path
    where: Condition | None = None
    order: tuple[OrderKey, ...] = ()
    limit: int | None = None
    offset: int = 0
