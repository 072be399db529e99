"""The mapping language: small, total, no code of the user's. Each step takes text and gives text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from syncline.contracts.ref import Value

Transform = Literal["trim", "lower", "upper"]

STEPS: dict[Transform, Callable[[str], str]] = {"trim": str.strip, "lower": str.lower, "upper": str.upper}


def transformed(value: Value, steps: list[Transform]) -> Value:
    """Values that are not text pass through untouched."""
    if isinstance(value, str):
        for step in steps:
            value = STEPS[step](value)
    return value
