"""The steps of the mapping language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.contracts.ref import Value
from syncline.contracts.transforms import STEPS, Transform, transformed

steps = st.lists(st.sampled_from(sorted(STEPS)))


@pytest.mark.parametrize(
    ("value", "steps", "result"),
    [
        ("  Ada@Mail.Example ", ["trim", "lower"], "ada@mail.example"),
        ("ab\n", ["upper"], "AB\n"),
        (" x ", [], " x "),
        ("   ", ["trim"], ""),
        ("Straße", ["lower", "upper"], "STRASSE"),
    ],
)
def test_steps_run_in_their_order(value: str, steps: list[Transform], result: str) -> None:
    assert transformed(value, steps) == result


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False), steps)
def test_what_is_not_text_passes_through(value: Value, steps: list[Transform]) -> None:
    assert transformed(value, steps) is value


@given(st.text(), steps)
def test_steps_are_total_and_give_text(value: str, steps: list[Transform]) -> None:
    assert isinstance(transformed(value, steps), str)
