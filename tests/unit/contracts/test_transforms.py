"""The steps of the mapping language: what they make of values, and that nothing else ever comes of them."""

from __future__ import annotations

import math
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.contracts.command import Command
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Value
from syncline.contracts.transforms import Unconvertible, compiled, transformed
from syncline.contracts.transforms import read as read_steps
from syncline.contracts.transforms import written as written_steps
from tests.unit.contracts.test_round_trip import commands

BERLIN = "Europe/Berlin"
TABLE = {"values": {"DE": "Germany", "1": "One", "true": "Yes"}}

ANY_STEP: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("trim", "collapse", "upper", "lower", "title", "concat", "number", "boolean", "date", "datetime", "phone"),
        {"concat": "-"},
        {"split": {"by": " ", "at": -1}},
        {"truncate": 3},
        {"lookup": TABLE},
        {"lookup": {**TABLE, "default": None}},
        {"number": {"decimal": ",", "round": 2}},
        {"number": {"round": 0}},
        {"boolean": {"truthy": ["ja"], "falsy": ["nein"]}},
        {"date": "%d.%m.%Y"},
        {"date": {"zone": BERLIN, "out": "%d.%m.%y"}},
        {"datetime": {"format": "%d.%m.%Y %H:%M", "zone": BERLIN}},
        {"datetime": {"zone": "America/New_York", "out": "%Y-%m-%d %H:%M:%S%z"}},
        {"phone": "DE"},
        {"phone": "US"},
        {"default": "x"},
        {"default": None},
    ]
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats()
LIKELY = st.text(alphabet="0123456789+-.,:/ TZeE()'x\u00a0\u0661") | st.datetimes().map(str) | st.dates().map(str)
ANY_VALUE: st.SearchStrategy[Value] = st.none() | st.booleans() | NUMBERS | st.text() | LIKELY


@pytest.mark.parametrize(
    ("value", "steps", "result"),
    [
        ("  Ada@Mail.Example ", ["trim", "lower"], "ada@mail.example"),
        ("ab\n", ["upper"], "AB\n"),
        (" x ", [], " x "),
        ("   ", ["trim"], ""),
        ("Straße", ["lower", "upper"], "STRASSE"),
        (" ada  of\nlovelace ", ["collapse", "title"], "Ada Of Lovelace"),
        ("a, b, c", [{"split": {"by": ", ", "at": 1}}], "b"),
        ("a, b, c", [{"split": {"by": ", ", "at": -1}}], "c"),
        ("a", [{"split": {"by": ",", "at": 1}}], ""),
        ("abcdef", [{"truncate": 4}], "abcd"),
        ("DE", [{"lookup": TABLE}], "Germany"),
        (1.0, [{"lookup": TABLE}], "One"),
        (True, [{"lookup": TABLE}], "Yes"),
        ("FR", [{"lookup": {**TABLE, "default": "?"}}], "?"),
        ("FR", [{"lookup": {**TABLE, "default": None}}], None),
        ("FR", [{"lookup": TABLE}, {"default": "?"}], "?"),
        ("1.234.567,895", [{"number": {"decimal": ",", "round": 2}}], 1234567.9),
        ("-1,234.50", ["number"], -1234.5),
        ("7", ["number"], 7),
        ("1 000", ["number"], 1000),
        ("9" * 30, ["number"], 1e30),
        (2.5, [{"number": {"round": 0}}], 3),
        (-2.5, [{"number": {"round": 0}}], -3),
        (1.005, [{"number": {"round": 2}}], 1.01),
        (2, ["boolean", {"default": False}], False),
        (1, ["boolean"], True),
        (" Ja", [{"boolean": {"truthy": ["ja"], "falsy": ["nein"]}}], True),
        ("OFF", ["boolean"], False),
        ("31.12.2025", [{"date": "%d.%m.%Y"}], "2025-12-31"),
        ("2025-12-31", [{"date": {"out": "%d.%m.%Y"}}], "31.12.2025"),
        ("2025-12-31T23:30:00Z", ["date"], "2025-12-31"),
        ("2025-12-31T23:30:00.000+0000", [{"date": {"zone": BERLIN}}], "2026-01-01"),
        ("31.12.2025", [{"date": {"format": "%d.%m.%Y", "zone": BERLIN}}], "2025-12-31"),
        ("01.07.2025 08:00", [{"datetime": {"format": "%d.%m.%Y %H:%M", "zone": BERLIN}}], "2025-07-01T06:00:00+00:00"),
        ("2025-07-01T06:00:00Z", [{"datetime": {"zone": BERLIN, "out": "%d.%m.%Y %H:%M"}}], "01.07.2025 08:00"),
        ("2025-07-01", ["datetime"], "2025-07-01T00:00:00+00:00"),
        ("(030) 1234-567", [{"phone": "DE"}], "+49301234567"),
        ("+1 (415) 555-2671", ["phone"], "+14155552671"),
        ("+49 30 1234567 ext. 12", ["phone"], "+49301234567"),
        (None, ["trim", {"default": "none"}], "none"),
        ("  ", ["trim", {"default": "none"}, "upper"], "NONE"),
        (0, [{"default": 5}], 0),
        (12.0, ["concat"], "12"),
        (False, ["concat"], "false"),
    ],
)
def test_what_steps_make_of_a_value(value: Value, steps: list[Any], result: Value) -> None:
    made = compiled(read_steps(steps))(value)
    assert (made, type(made)) == (result, type(result))


@pytest.mark.parametrize(
    ("value", "step", "told"),
    [
        ("many", "number", "cannot make a number of this text"),
        ("1,2,3", "number", "a number of this text"),
        ("1.2.3", {"number": {"decimal": ","}}, "a number of this text"),
        ("1e5", "number", "a number of this text"),
        ("1" * 50, "number", "a number of this text"),
        ("-", "number", "a number of this text"),
        (True, "number", "a number of a boolean"),
        (math.inf, "number", "a finite number of a number"),
        ("perhaps", "boolean", "a boolean of this text"),
        (2, "boolean", "a boolean of a number"),
        ("2025-02-30", "date", "a time written as ISO 8601 of this text"),
        ("12/31/2025", {"date": "%d.%m.%Y"}, "a time written as %d.%m.%Y of this text"),
        (20251231, "date", "a time of a number"),
        ("0001-01-01T00:00:00+14:00", "datetime", "a time written as ISO 8601"),
        ("030 1234567", "phone", "a phone number of this text"),
        ("12", {"phone": "DE"}, "a phone number of"),
        ("555-0199", {"phone": "US"}, "a phone number of the right length"),
        (True, "phone", "a phone number of a boolean"),
        ("FR", {"lookup": TABLE}, "an entry of the lookup table of this text"),
    ],
)
def test_what_cannot_be_converted_is_told_without_the_value(value: Value, step: Any, told: str) -> None:
    with pytest.raises(Unconvertible) as caught:
        compiled(read_steps([step]))(value)
    assert told in str(caught.value)
    assert not isinstance(value, str) or len(value) < 3 or value not in str(caught.value)


@given(ANY_VALUE, st.lists(ANY_STEP, max_size=4))
def test_every_value_becomes_a_value_or_is_refused(value: Value, steps: list[Any]) -> None:
    function = compiled(read_steps(steps))
    try:
        made = function(value)
    except Unconvertible:
        with pytest.raises(Unconvertible):
            function(value)
        assert steps[-1:] != [{"default": "x"}]
        return
    assert made is None or isinstance(made, str | int | float)
    again = function(value)
    assert again == made or (made != made and again != again)
    orjson.dumps(made)


@given(st.lists(ANY_STEP, max_size=4))
def test_steps_travel_as_they_were_written(steps: list[Any]) -> None:
    assert orjson.loads(orjson.dumps(written_steps(read_steps(steps)))) == [
        {key: {"format": told} if key in ("date", "datetime") and isinstance(told, str) else told}
        if isinstance(step, dict)
        else step
        for step in steps
        for key, told in (step.items() if isinstance(step, dict) else [("", None)])
    ]


@given(st.none() | st.just(""), st.lists(ANY_STEP.filter(lambda step: "default" not in step), max_size=4))
def test_an_empty_value_passes_every_step_but_a_default(value: Value, steps: list[Any]) -> None:
    assert compiled(read_steps(steps))(value) == value


@given(st.booleans() | NUMBERS, st.lists(st.sampled_from(["trim", "collapse", "upper", "lower", "title"])))
def test_text_steps_let_other_values_pass(value: Value, steps: list[Any]) -> None:
    assert transformed(value, steps) is value


def test_the_targets_own_value_stays_where_it_cannot_be_converted() -> None:
    assert transformed("call me", [{"phone": "DE"}]) == "call me"


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["reverse"], "a step is one of trim, "),
        ([{"trim": 1}], "a step is one of trim, "),
        ([{"trim": 1, "upper": 2}], "a step is one of trim, "),
        ([{"split": {"at": 1}}], "Field required"),
        ([{"split": {"by": ""}}], "at least 1 character"),
        ([{"truncate": 0}], "greater than or equal to 1"),
        ([{"lookup": {}}], "a lookup has `values`"),
        ([{"lookup": {"values": {False: "Norway"}}}], "YAML read a key as false"),
        ([{"date": "%H:%M"}], "does not tell the day"),
        ([{"date": "%d.%m.%Q"}], "is no format of a time"),
        ([{"datetime": "%d.%m.%Y"}], "does not tell day, hour and minute"),
        ([{"datetime": {"zone": "Berlin"}}], "there is no time zone 'Berlin'"),
        ([{"datetime": {"out": "today"}}], "says nothing of the time"),
        ([{"phone": "Germany"}], "there is no country 'Germany'"),
        ([{"number": {"round": -1}}], "greater than or equal to 0"),
    ],
)
def test_what_no_step_is_like_is_refused(steps: list[Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_steps(steps)


@given(commands)
def test_a_command_with_a_step_of_another_version_is_malformed(command: Command) -> None:
    with pytest.raises(Malformed, match=r"derived\.f"):
        Command.read({**command.document(), "derived": {"f": ["reverse"]}})
