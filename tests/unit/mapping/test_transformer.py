"""From a record to the fields of its command: several inputs, conditions, what is unknown, what cannot be converted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Fields, Value
from syncline.mapping import Transformed, Transformer
from tests.unit.contracts.test_transforms import ANY_STEP, ANY_VALUE
from tests.unit.mapper.test_join import config


def transformer(fields: dict[str, Any], **more: Any) -> Transformer:
    read = config(fields={"email": "Email", **fields}, **more)
    return Transformer(read, read.pipelines["contacts"])


FULL = {"full": {"from": ["First", "Last"], "transform": [{"concat": ", "}, "upper"]}}
TIER = {"tier": {"from": "Tier", "when": {"Type": "Customer", "Fax": {"empty": True}}}}
FLAG = {"flag": {"static": True, "when": {"Rating": {"in": ["Hot", 1]}}, "otherwise": False}}


@pytest.mark.parametrize(
    ("fields", "record", "made"),
    [
        (FULL, {"First": "Ada", "Last": "Lovelace"}, {"full": "ADA, LOVELACE"}),
        (FULL, {"First": None, "Last": "Lovelace"}, {"full": "LOVELACE"}),
        (FULL, {"First": "", "Last": None}, {}),
        (FULL, {"Last": "Lovelace"}, {}),
        (TIER, {"Tier": "gold", "Type": "Customer", "Fax": ""}, {"tier": "gold"}),
        (TIER, {"Tier": "gold", "Type": "Customer", "Fax": "1"}, {}),
        (TIER, {"Tier": "gold", "Type": None, "Fax": None}, {}),
        (TIER, {"Tier": "gold", "Type": "Customer"}, {}),
        (FLAG, {"Rating": "Hot"}, {"flag": True}),
        (FLAG, {"Rating": 1}, {"flag": True}),
        (FLAG, {"Rating": True}, {"flag": False}),
        (FLAG, {"Rating": None}, {"flag": False}),
        (FLAG, {}, {}),
        ({"x": {"static": None, "when": {"A": 1}}}, {"A": 1}, {"x": None}),
        ({"x": {"static": None, "when": {"A": 1}}}, {"A": 2}, {}),
        ({"x": {"static": 1, "when": {"A": 1}, "otherwise": None}}, {"A": 2}, {"x": None}),
        ({"x": {"from": "B", "when": {"A": 1}, "on_empty": "clear"}}, {"A": 2, "B": "b"}, {"x": None}),
        ({"x": {"from": "A", "transform": [{"default": "none"}]}}, {"A": None}, {"x": "none"}),
        ({"x": {"from": "A", "transform": ["number"], "on_empty": "clear"}}, {"A": ""}, {"x": None}),
        ({"x": {"from": "A", "transform": ["number", {"default": None}]}}, {"A": "?"}, {}),
    ],
)
def test_what_a_field_becomes(fields: dict[str, Any], record: Fields, made: Fields) -> None:
    mapping = transformer(fields)
    assert mapping.apply(record).fields == made


def test_every_field_that_decides_is_an_input_and_is_seen() -> None:
    mapping = transformer({**FULL, **TIER, **FLAG})
    record: Fields = {"First": "Ada", "Last": None, "Tier": 1, "Type": "x", "Fax": None, "Rating": "Hot", "Email": "e"}
    assert mapping.apply(record).seen == record
    assert mapping.inputs(["full", "tier", "flag", "email"]) == {
        "full": ["First", "Last"],
        "tier": ["Tier", "Type", "Fax"],
        "flag": ["Rating"],
        "email": ["Email"],
    }


def test_of_a_field_that_is_left_out_since_an_input_is_unknown_nothing_is_seen() -> None:
    assert transformer(FULL).apply({"First": "Ada"}) == Transformed({}, {})


def test_a_value_that_cannot_be_converted_names_pipeline_fields_and_type_but_not_the_value() -> None:
    mapping = transformer(
        {"born": {"from": "Born", "transform": ["date"]}, "phone": {"from": "Phone", "transform": [{"phone": "DE"}]}}
    )
    with pytest.raises(RecordRejected) as caught:
        mapping.apply({"Born": "yesterday", "Phone": True, "Email": "e"})
    assert str(caught.value) == (
        "contacts: born: cannot make a time written as ISO 8601 of this text; "
        "phone: cannot make a phone number of a boolean"
    )
    assert (caught.value.code, caught.value.fields) == ("UNCONVERTIBLE", ("born", "phone"))
    assert "retry" in caught.value.remedy


@pytest.mark.parametrize(
    ("where", "record", "wanted"),
    [
        ({"Type": "Customer"}, {"Type": "Customer"}, True),
        ({"Type": "Customer"}, {"Type": "customer"}, False),
        ({"Type": {"in": ["A", "B"]}}, {"Type": "B"}, True),
        ({"Type": {"in": []}}, {"Type": "B"}, False),
        ({"Email": {"empty": False}}, {"Email": ""}, False),
        ({"Email": {"empty": False}}, {}, False),
        ({"Email": {"empty": False}, "Type": "A"}, {"Email": "e", "Type": "A"}, True),
        ({"Email": {"eq": None}}, {"Email": None}, True),
    ],
)
def test_the_filter_takes_the_same_conditions(where: dict[str, Any], record: Fields, wanted: bool) -> None:
    assert transformer({}, where=where).wants(record) is wanted


@given(
    st.dictionaries(st.sampled_from("ABC"), ANY_VALUE),
    st.lists(st.sampled_from("ABC"), min_size=1, max_size=3, unique=True),
    st.lists(ANY_STEP, max_size=3),
    st.sampled_from([{}, {"A": 1}, {"B": {"empty": True}}]),
)
def test_every_record_becomes_fields_or_is_rejected(
    record: dict[str, Value], sources: list[str], steps: list[Any], when: dict[str, Any]
) -> None:
    mapping = transformer({"x": {"from": sources, "transform": ["concat", *steps], "when": when}})
    try:
        made = mapping.apply(record)
    except RecordRejected:
        assert {*sources, *when} <= record.keys()
        return
    known = {*sources, *when} <= record.keys()
    assert known or "x" not in made.fields
    assert set(made.seen) == ({*sources, *when} if known else set())
