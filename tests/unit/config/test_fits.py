"""What a mapping makes, against what the target field can hold."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.config.fields import Mapping
from syncline.config.fits import misfits
from syncline.contracts.catalog import FieldInfo

TEXT = FieldInfo(name="T")
SHORT = FieldInfo(name="T", length=5)
LIST = FieldInfo(name="T", choices=("hot", "cold"), length=255)
LONG = FieldInfo(name="S", length=80)
SOURCE_LIST = FieldInfo(name="S", choices=("hot", "warm", "cold"))


def kind(type_: Any) -> FieldInfo:
    return FieldInfo(name="T", type=type_)


def found(mapping: dict[str, Any], target: FieldInfo, source: FieldInfo | None = None) -> list[tuple[str, bool]]:
    read = Mapping.model_validate(mapping)
    assert all(each.remedy for each in misfits(read, source, target))
    return [(each.what, each.blocks) for each in misfits(read, source, target)]


NONE = {"default": "NONE"}
LOOKUP_HOT = {"lookup": {"values": {"2": "hot"}}}
LOOKUP = {"lookup": {"values": {"1": "hot", "2": "tepid"}}}


@pytest.mark.parametrize(
    ("mapping", "target", "what"),
    [
        ({"static": "tepid"}, LIST, "T does not list 'tepid', only 'hot', 'cold'"),
        ({"from": "S", "transform": [LOOKUP]}, LIST, "T does not list 'tepid', only 'hot', 'cold'"),
        (
            {"from": "S", "transform": [LOOKUP_HOT, {"default": "NONE"}, "lower"]},
            LIST,
            "T does not list 'none', only 'hot', 'cold'",
        ),
        ({"static": "hot", "when": {"S": 1}, "otherwise": "x"}, LIST, "T does not list 'x', only 'hot', 'cold'"),
        ({"static": "too long"}, SHORT, "'too long' is longer than the 5 characters of T"),
        ({"static": "many"}, kind("number"), "'many' is no number"),
        ({"static": True}, kind("number"), "'True' is no number"),
        ({"static": "maybe"}, kind("boolean"), "'maybe' is no boolean"),
        ({"static": "tomorrow"}, kind("date"), "'tomorrow' is no date"),
        ({"static": "tomorrow"}, kind("datetime"), "'tomorrow' is no datetime"),
        ({"from": "S", "transform": ["number"]}, kind("boolean"), "a number cannot become a boolean"),
        ({"from": "S", "transform": ["boolean"]}, kind("date"), "a boolean cannot become a date"),
        ({"from": "S", "transform": ["date"]}, kind("datetime"), "a date cannot become a datetime"),
        ({"from": "S", "transform": ["datetime", "trim"]}, kind("number"), "a datetime cannot become a number"),
    ],
)
def test_what_never_fits_blocks(mapping: dict[str, Any], target: FieldInfo, what: str) -> None:
    assert found(mapping, target, FieldInfo(name="S")) == [(what, True)]


@pytest.mark.parametrize(
    ("mapping", "target"),
    [
        ({"static": "hot"}, LIST),
        ({"static": None}, LIST),
        ({"static": "12.5"}, kind("number")),
        ({"static": "2025-12-31"}, kind("date")),
        ({"static": "2025-12-31T10:00:00Z"}, kind("datetime")),
        ({"static": False}, kind("boolean")),
        ({"from": "S", "transform": [{"lookup": {"values": {"1": "2"}}}, LOOKUP_HOT]}, LIST),
        ({"from": "S", "transform": [{"default": "many"}, "number", {"default": 0}]}, kind("number")),
        ({"from": "S", "transform": [{"date": {"out": "%Y"}}]}, kind("number")),
        ({"from": ["A", "S"], "transform": ["concat"]}, kind("number")),
        ({"from": "S", "transform": [{"truncate": 5}]}, SHORT),
        ({"from": "S", "transform": ["number"]}, SHORT),
    ],
)
def test_what_may_fit_is_let_through(mapping: dict[str, Any], target: FieldInfo) -> None:
    assert found(mapping, target, LONG) == []


def test_what_may_not_fit_is_for_a_person_to_judge() -> None:
    assert found({"from": "S", "transform": ["trim"]}, SHORT, LONG) == [
        ("up to 80 characters do not fit into the 5 of T", False)
    ]
    assert found({"from": "S"}, LIST, SOURCE_LIST) == [("S may hold 'warm', which T does not list", False)]
    assert found({"from": "S"}, SHORT, TEXT) == []
    assert found({"static": "HOT"}, LIST) == [("T lists 'HOT' in other letters", False)]
