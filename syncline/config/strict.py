"""What all of the configuration's models share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Fault = tuple[tuple[str | int, ...], str]
"""Where, as a path below the model that finds it, and what."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


def refuse(faults: Iterable[Fault]) -> None:
    """All at once, each under its own place, so that it is told with the line that it stands on."""
    found = [
        InitErrorDetails(type=PydanticCustomError("fault", "{what}", {"what": what}), loc=place, input=None)
        for place, what in faults
    ]
    if found:
        raise ValidationError.from_exception_data("pipelines.yaml", found)


def names(value: Any) -> Any:
    """One name may be written without a list around it."""
    return [value] if isinstance(value, str) else value
