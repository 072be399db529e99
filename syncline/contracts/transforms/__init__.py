"""The mapping language: small, total, no code of the user's.

`compiled` makes a function of a list of steps. An empty value passes every step but `default`; a value that a step
cannot convert is replaced by a later `default`, or raises Unconvertible in the end, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from syncline.contracts.ref import Value
from syncline.contracts.transforms.convert import Convert, Text, Unconvertible, empty
from syncline.contracts.transforms.steps import WORDS, Concat, Default, Lookup, Step, TextStep, Transform, on_text

__all__ = [
    "Concat",
    "Default",
    "Lookup",
    "Transform",
    "Unconvertible",
    "Written",
    "check_written",
    "compiled",
    "empty",
    "text_only",
    "transformed",
    "written",
]

Written = list[Any]
"""Steps as JSON has them."""

_STEPS: TypeAdapter[list[Transform]] = TypeAdapter(list[Transform])


def written(steps: Sequence[Transform]) -> Written:
    """As they travel in commands."""
    return [step if isinstance(step, str) else step.model_dump(mode="json", exclude_unset=True) for step in steps]


def read(steps: Written) -> list[Transform]:
    """Raises ValueError that names the first step that there is not."""
    try:
        return _STEPS.validate_python(steps)
    except ValidationError as error:
        raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None


def text_only(steps: Sequence[Transform]) -> Text | None:
    """Steps that all take text to text, as one function; any other value passes through them. None of no steps, and
    of steps among which is another kind."""
    functions = [_text(step) for step in steps]
    if not functions or None in functions:
        return None
    return _one_after_another([each for each in functions if each])


def compiled(steps: Sequence[Transform]) -> Convert:
    """Raises Unconvertible when called, and nothing else."""
    stages: list[tuple[Convert, bool]] = []
    for step in steps:
        told = WORDS[step] if isinstance(step, str) else step
        stages.append((told.function() if isinstance(told, Step) else on_text(told), isinstance(told, Default)))
    defaults = [step.default if isinstance(step, Default) else None for step in steps]

    def run(value: Value) -> Value:
        fault: Unconvertible | None = None
        for (function, is_default), default in zip(stages, defaults, strict=True):
            if is_default:
                if fault or empty(value):
                    value, fault = default, None
            elif fault is None and not empty(value):
                try:
                    value = function(value)
                except Unconvertible as error:
                    fault = error
        if fault:
            raise fault
        return value

    return run


def transformed(value: Value, steps: Written) -> Value:
    """What cannot be converted stays as it is. Raises ValueError for steps that there are not."""
    try:
        return _compiled(orjson.dumps(steps))(value)
    except Unconvertible:
        return value


def check_written(steps: Written) -> None:
    """Raises ValueError for steps that there are not."""
    _compiled(orjson.dumps(steps))


@lru_cache(maxsize=1024)
def _compiled(steps: bytes) -> Convert:
    return compiled(read(orjson.loads(steps)))


def _text(step: Transform) -> Text | None:
    told = WORDS[step] if isinstance(step, str) else step
    if isinstance(told, TextStep):
        return told.text()
    return None if isinstance(told, Step) else told


def _one_after_another(functions: Sequence[Text]) -> Callable[[str], str]:
    if len(functions) == 1:
        return functions[0]

    def together(value: str) -> str:
        for function in functions:
            value = function(value)
        return value

    return together
