"""SOQL text to a syntax tree, by the grammar beside this file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path as File
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from syncline.simorg.errors import SalesforceError
from syncline.simorg.soql.syntax import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Literal,
    LiteralKind,
    Not,
    OrderKey,
    Path,
    Query,
)

MAX_LENGTH = 100_000
MAX_STRING = 4_000
"""Of a statement and of one text in it: "SOQL and SOSL Limits" in the SOQL and SOSL Reference."""
MAX_OFFSET = 2_000


def parse(text: str) -> Query:
    """Raises MALFORMED_QUERY with the place, or NUMBER_OUTSIDE_VALID_RANGE for an OFFSET above 2,000."""
    if len(text) > MAX_LENGTH:
        raise malformed(f"SOQL statements cannot be longer than {MAX_LENGTH} characters.")
    try:
        query = replace(cast(Query, _parser().parse(text)), text=text)
    except UnexpectedToken as exc:
        shown = "<EOF>" if exc.token.type == "$END" else str(exc.token)
        raise malformed(f"unexpected token: '{shown}'", text, exc.line, exc.column) from None
    except UnexpectedCharacters as exc:
        raise malformed(f"unexpected token: '{text[exc.pos_in_stream or 0]}'", text, exc.line, exc.column) from None
    except UnexpectedInput as exc:
        raise malformed(f"line {exc.line}:{exc.column} cannot be read") from None
    if query.offset > MAX_OFFSET:
        raise SalesforceError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
    return query


def malformed(message: str, text: str = "", line: int = 0, column: int = 0) -> SalesforceError:
    return SalesforceError(400, "MALFORMED_QUERY", located(message, text, line, column) if text else message)


def located(message: str, text: str, line: int, column: int) -> str:
    """Salesforce's way to point at a place: the surroundings, a caret, row and column."""
    row = (text.splitlines() or [""])[line - 1] if 0 < line <= len(text.splitlines()) else ""
    start = max(0, column - 40)
    caret = " " * max(0, column - 1 - start) + "^"
    return f"\n{row[start : column + 40]}\n{caret}\nERROR at Row:{line}:Column:{column}\n{message}"


@cache
def _parser() -> Lark:
    grammar = (File(__file__).parent / "grammar.lark").read_text()
    return Lark(grammar, start="query", parser="lalr", transformer=_Tree())


_KINDS: dict[str, LiteralKind] = {
    "STRING": "string",
    "NUMBER": "number",
    "BOOLEAN": "boolean",
    "NULL": "null",
    "DATE": "date",
    "DATETIME": "datetime",
    "DATE_LITERAL": "relative",
}


class _Tree(Transformer[Token, Query]):
    """Lark calls the method named for each rule with its parts."""

    def query(self, parts: list[Any]) -> Query:
        fields, source, *clauses = parts
        return Query("", fields, _path(source), **dict(clauses))

    def count(self, parts: list[Token]) -> None:
        return None

    def fields(self, parts: list[Token]) -> tuple[Path, ...]:
        return tuple(map(_path, parts))

    def where(self, parts: list[Condition]) -> tuple[str, Condition]:
        return "where", parts[0]

    def order(self, parts: list[OrderKey]) -> tuple[str, tuple[OrderKey, ...]]:
        return "order", tuple(parts)

    def limit(self, parts: list[Token]) -> tuple[str, int]:
        return "limit", _whole(parts[0])

    def offset(self, parts: list[Token]) -> tuple[str, int]:
        return "offset", _whole(parts[0])

    def literal(self, parts: list[Token]) -> Literal:
        token = parts[0]
        if len(token) > MAX_STRING + 2:
            raise malformed(f"a text in a SOQL statement cannot be longer than {MAX_STRING} characters")
        return Literal(_KINDS[token.type], str(token), token.line or 0, token.column or 0)

    def compare(self, parts: list[Any]) -> Comparison:
        path, operator, *values = parts
        spelled = operator.lower()
        return Comparison(_path(path), "!=" if spelled == "<>" else spelled, tuple(values))

    def among(self, parts: list[Any]) -> Comparison:
        return Comparison(_path(parts[0]), "in", tuple(parts[1:]))

    def not_among(self, parts: list[Any]) -> Comparison:
        return Comparison(_path(parts[0]), "not in", tuple(parts[1:]))

    def all_of(self, parts: list[Condition]) -> AllOf:
        return AllOf(tuple(parts))

    def any_of(self, parts: list[Condition]) -> AnyOf:
        return AnyOf(tuple(parts))

    def negation(self, parts: list[Condition]) -> Not:
        return Not(parts[0])

    def order_key(self, parts: list[Any]) -> OrderKey:
        path, direction, position = parts
        return OrderKey(
            _path(path),
            descending=direction is not None and direction.lower() == "desc",
            nulls_last=None if position is None else position.lower() == "last",
        )


def _path(token: Token) -> Path:
    return Path(str(token), token.line or 0, token.column or 0)


def _whole(token: Token) -> int:
    if not token.isdigit():
        raise malformed(f"unexpected token: '{token}'")
    return int(token)
