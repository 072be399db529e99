"""One target field of a pipeline: where its value comes from, and when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from syncline.config.strict import Fault, Strict, names, refuse
from syncline.contracts.ref import Value
from syncline.contracts.transforms import Concat, Default, Lookup, Transform, Unconvertible, compiled, empty

OnEmpty = Literal["keep", "clear"]


class Condition(Strict):
    """What a source field must hold; one of the three."""

    eq: Value = None
    in_: list[Value] = Field([], alias="in")
    empty: bool | None = None
    """true: null, or text with nothing in it; false: anything else."""

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if len(self.model_fields_set) != 1:
            raise ValueError("a condition has one of `eq`, `in` and `empty`")
        return self

    @property
    def test(self) -> Callable[[Value], bool]:
        if self.empty is not None:
            wanted = self.empty
            return lambda value: empty(value) == wanted
        allowed = self.in_ if "in_" in self.model_fields_set else [self.eq]
        return lambda value: any(
            value == each and isinstance(value, bool) == isinstance(each, bool) for each in allowed
        )


def _condition(value: Any) -> Any:
    return value if isinstance(value, dict | Condition) else {"eq": value}


Conditions = dict[str, Annotated[Condition, BeforeValidator(_condition, json_schema_input_type=Condition | Value)]]
"""Source field to what it must hold; a value by itself is what it must be equal to. All must be met."""


class Mapping(Strict):
    """One target field. `from` names a source field, or several that `concat` joins; `static` gives a value instead,
    and `destination` takes the target's own present value through the transforms."""

    sources: Annotated[tuple[str, ...], BeforeValidator(names, json_schema_input_type=str | list[str])] = Field(
        (), alias="from"
    )
    static: Value = None
    destination: bool = False
    transform: list[Transform] = []
    """Steps in order. A value that one cannot convert makes its record a dead letter, unless a `default` follows."""
    when: Conditions = {}
    """Where the record's source fields do not meet this, the field counts as empty."""
    otherwise: Value = None
    """The value where `when` is not met, instead of an empty one."""
    on_empty: OnEmpty | None = None
    """None takes the pipeline's."""
    conflict: str | None = None
    """Who wins when both sides changed the field; None takes the pipeline's."""
    placeholder: bool = False
    """Marks an example that must be replaced; nothing starts while one is left."""

    @model_validator(mode="after")
    def _fits_together(self) -> Mapping:
        if bool(self.sources) + ("static" in self.model_fields_set) + self.destination != 1:
            raise ValueError("a field has one of `from`, `static` and `destination: true`")
        refuse(self._faults())
        return self

    def _faults(self) -> list[Fault]:
        faults: list[Fault] = []
        first = self.transform[0] if self.transform else None
        if len(self.sources) > 1 and not (first == "concat" or isinstance(first, Concat)):
            faults.append((("transform",), "several source fields are joined by `concat`, as the first step"))
        if "otherwise" in self.model_fields_set and not self.when:
            faults.append((("otherwise",), "belongs to `when`"))
        if self.transform and "static" in self.model_fields_set:
            faults.append((("transform",), "a static value is written as it is to be"))
        if self.destination and self.when:
            faults.append((("when",), "the target's own value is not conditional"))
        for place, step in enumerate(self.transform):
            if self.destination and isinstance(step, Lookup) and step.lookup.file:
                what = "a table of a file would travel in every command of a `destination` field: give `values`"
                faults.append((("transform", place), what))
        return faults

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Every source field that decides on the value."""
        return tuple(dict.fromkeys((*self.sources, *self.when)))

    @property
    def outcomes(self) -> list[Value]:
        """The values that are known beforehand: static ones, and what becomes of defaults and of all that a lookup may
        give in the steps after them."""
        found: list[Value] = [self.static, self.otherwise]
        for place, step in enumerate(self.transform):
            given = step.lookup.results if isinstance(step, Lookup) else []
            given = [step.default] if isinstance(step, Default) else given
            rest = compiled(self.transform[place + 1 :])
            for value in given:
                with suppress(Unconvertible):
                    found.append(rest(value))
        return [each for each in found if not empty(each)]


def mapping(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value
