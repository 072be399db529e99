from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.salesforce.protocol import Request
from syncline.salesforce.soql import Name, Names, bind, chunks, soql
from syncline.simorg.soql import parser
from syncline.simorg.soql.syntax import AllOf, AnyOf, Comparison, Condition

HOSTILE = st.text(alphabet="'\\\"n{}% \n\r\t\b\fu0041;-)( OR", max_size=30)
texts = HOSTILE | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def where(statement: str) -> Condition | None:
    """As an independent parser reads it: the simulated org's."""
    return parser.parse(statement).where


def texts_of(comparison: Condition | None) -> list[str]:
    assert isinstance(comparison, Comparison)
    assert {literal.kind for literal in comparison.values} == {"string"}
    return [
        re.sub(r"\\(.)", lambda match: UNESCAPED.get(match[1], match[1]), literal.text[1:-1], flags=re.DOTALL)
        for literal in comparison.values
    ]


@given(texts)
def test_any_string_comes_back_and_adds_no_clause(value: str) -> None:
    template = "SELECT Id FROM Contact WHERE Name = {value} AND (Email IN ({value}) OR Phone LIKE {value}) LIMIT 7"
    query = parser.parse(soql(template, value=value))
    assert (query.source.text, query.order, query.limit, query.offset) == ("Contact", (), 7, 0)
    assert isinstance(query.where, AllOf)
    name, either = query.where.parts
    assert isinstance(either, AnyOf)
    assert [texts_of(part) for part in (name, *either.parts)] == [[value]] * 3


@given(st.lists(texts, min_size=1, max_size=8))
def test_any_list_of_strings_comes_back(values: list[str]) -> None:
    assert texts_of(where(soql("SELECT Id FROM Contact WHERE Email IN {emails}", emails=values))) == values


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ('O\'Brien \\ "x"', r"""'O\'Brien \\ "x"'"""),
        ("a\nb\r\t\b\f", r"'a\nb\r\t\b\f'"),
        ("", "''"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (-7, "-7"),
        (1.5, "1.5"),
        (1e21, "1000000000000000000000"),
        (Decimal("0.10"), "0.10"),
        (Decimal("1E-7"), "0.0000001"),
        (date(2026, 11, 20), "2026-11-20"),
        (datetime(2026, 11, 20, 10, 0, 5, tzinfo=UTC), "2026-11-20T10:00:05Z"),
        (datetime(2026, 11, 20, 10, 0, 5, tzinfo=timezone(timedelta(hours=2))), "2026-11-20T08:00:05Z"),
        (datetime(2026, 11, 20, 10, 0, 5, 123999, tzinfo=UTC), "2026-11-20T10:00:05.123Z"),
        (datetime(2026, 11, 20, 10, 0, 5, 999, tzinfo=UTC), "2026-11-20T10:00:05Z"),
        (("a", "b"), "('a','b')"),
        ([1, None], "(1,null)"),
        ({"k": 1}.keys(), "('k')"),
        (Name("Account.Owner.Name"), "Account.Owner.Name"),
        (Names(["Id", "Email", "id", "My_Field__c", "Parent__r.Code__c"]), "Id, Email, My_Field__c, Parent__r.Code__c"),
    ],
)
def test_literals(value: Any, literal: str) -> None:
    assert bind(value) == literal


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {"a": 1}, [["nested"]], [{"a": 1}], [b"x"], [Name("Id")], timedelta(1)]
)
def test_what_soql_has_no_literal_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        bind(value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        (),
        float("nan"),
        float("inf"),
        Decimal("sNaN"),
        datetime(2026, 11, 20, 10, 0, 5),  # noqa: DTZ001
        datetime(1699, 12, 31, tzinfo=UTC),
        date(4001, 1, 1),
        "x" * 4001,
        "\ud800",
    ],
)
def test_values_outside_of_soql_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        bind(value)


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a,b", "a'", "Id FROM User", "a.", ".a", "a..b", "a\n", "é", "COUNT()"]
)
def test_names_are_checked(name: str) -> None:
    with pytest.raises(ValueError):
        Name(name)
    with pytest.raises(ValueError):
        Names(["Id", name])


def test_a_select_list_is_not_empty() -> None:
    with pytest.raises(ValueError):
        Names([])


@pytest.mark.parametrize(
    "template",
    [
        "Name = '{x}'",
        "Name = 'it\\'s {x}'",
        "Name = {x!r}",
        "Name = {x:>10}",
        "Name = {x.__class__}",
        "Name = {0}",
        "Name = {}",
        "Name = {y}",
        "Name = 'nothing'",
    ],
)
def test_a_template_that_does_not_fit_is_refused(template: str) -> None:
    with pytest.raises(ValueError):
        soql(template, x="value")


def test_quotes_that_are_closed_again_are_fine() -> None:
    assert soql("A = 'it\\'s' AND B = {b}", b=1) == "A = 'it\\'s' AND B = 1"


@given(st.lists(texts | st.text("'é+ ", min_size=50, max_size=80), min_size=1, max_size=800))
def test_chunks_ask_for_every_member_once_and_fit_into_an_address(values: list[str]) -> None:
    template = "SELECT Id FROM Contact WHERE Email IN {emails} AND Name = {name}"
    asked = []
    for statement in chunks(template, over="emails", emails=values, name="O'Brien"):
        url = Request("GET", "/queryAll", "query", query={"q": statement}).url("https://acme.my.salesforce.com", "67.0")
        assert len(url) < 16_384
        assert len(statement) < 100_000
        condition = where(statement)
        assert isinstance(condition, AllOf)
        asked += texts_of(condition.parts[0])
        assert texts_of(condition.parts[1]) == ["O'Brien"]
    assert asked == list(dict.fromkeys(values))


def test_chunks_are_as_long_as_they_may_be() -> None:
    ids = [f"0035e{number:010d}AAA" for number in range(2000)]
    statements = list(chunks("SELECT Id FROM Contact WHERE Id IN {ids}", over="ids", ids=ids))
    assert [id_ for statement in statements for id_ in texts_of(where(statement))] == ids
    assert all(len(quote(statement, safe="")) < 16_384 - 300 for statement in statements)
    assert all(len(quote(statement, safe="")) > 15_000 for statement in statements[:-1])


def test_no_members_no_statement() -> None:
    assert list(chunks("SELECT Id FROM Contact WHERE Id IN {ids}", over="ids", ids=[])) == []


def test_a_value_that_fills_a_statement_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        list(chunks("SELECT Id FROM Contact WHERE Name IN {names}", over="names", names=["é" * 3000]))


def test_a_part_is_asked_for_in_one_place_only() -> None:
    with pytest.raises(ValueError, match="once"):
        list(chunks("A IN {x} OR B IN {x}", over="x", x=["1"]))
