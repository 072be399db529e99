"""What is taken for a repeat by the link alone would have come to nothing on the whole way too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.writer import plan
from services.writer.plan import Step
from services.writer.repeated import repeated
from syncline.contracts.command import Command
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref, Value

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: list[Value] = [None, True, 1, 1.0, "a"]
SOURCE = st.dictionaries(st.sampled_from("AB"), st.sampled_from(VALUES))
TARGET = st.dictionaries(st.sampled_from("ab"), st.sampled_from(VALUES))
FEW = st.lists(st.sampled_from("AB"), max_size=1).map(tuple)
FEWER = st.lists(st.sampled_from("ab"), max_size=1).map(tuple)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    seen, fields = draw(SOURCE), draw(TARGET)
    return Command(
        pipeline="p",
        op=draw(st.sampled_from(["upsert", "upsert", "upsert", "delete"])),
        source=Ref("sf", "Account", "1"),
        version=draw(st.sampled_from(["1", "2", "2"])),
        time="2026-01-01T00:00:00Z",
        target=Object("hub", "company"),
        fields=fields,
        seen=seen,
        inputs={field: [field.upper()] if field.upper() in seen else [] for field in fields},
        creates=draw(st.booleans()),
    )


@st.composite
def links(draw: st.DrawFn, command: Command) -> Link:
    """Mostly what a link knows after the command, so that repeats are met often."""
    source = {**draw(SOURCE), **(command.seen if draw(st.booleans()) else {})}
    target = {**draw(TARGET), **(command.fields if draw(st.booleans()) else {})}
    contested = tuple(field for field in draw(FEWER) if field not in target)
    return Link(
        Side(command.source, draw(st.sampled_from(["1", "2", "2"])), source, draw(FEW), draw(st.just(()) | FEW)),
        Side(Ref(*command.target, "7"), "1", target, draw(FEWER), contested),
        revision=1,
        id=1,
        ended=draw(st.sampled_from([None, None, None, "deleted"])),
        paused=draw(st.sampled_from([False, False, False, True])),
    )


@given(st.data())
def test_a_repeat_ends_as_unchanged_and_leaves_the_link_as_it_is(data: st.DataObject) -> None:
    command = data.draw(commands())
    link = data.draw(links(command))
    if not repeated(command, link):
        return
    event("a repeat")
    assert plan.settled_by_link(command, link) is None
    assert plan.news(command, link) == {}
    step = Step(command, link)
    after = plan.concluded(step, None, now=NOW)
    assert after == link
    assert plan.result(step, after, None) == plan.settled(command, "unchanged", None, link.target.ref)


KNOWN = Command(
    pipeline="p",
    op="upsert",
    source=Ref("sf", "Account", "1"),
    version="2",
    time="2026-01-01T00:00:00Z",
    target=Object("hub", "company"),
    fields={"a": "A1", "b": 1},
    seen={"A": "a1"},
    inputs={"a": ["A"], "b": []},
)
LINK = Link(Side(KNOWN.source, "2", {"A": "a1"}), Side(Ref(*KNOWN.target, "7"), "1", {"a": "A1", "b": 1}), 1, 1)


def test_what_was_applied_is_a_repeat_whatever_form_its_values_have() -> None:
    assert repeated(KNOWN, LINK)
    assert repeated(replace(KNOWN, fields={**KNOWN.fields, "a": "in the source's form"}), LINK)


@pytest.mark.parametrize(
    "news",
    [
        {"version": "3"},
        {"version": "1"},
        {"seen": {"A": "a2"}},
        {"seen": {"A": "a1", "B": None}},
        {"fields": {"a": "A1", "b": True}},
        {"fields": {"a": "A1", "b": 1, "c": "C"}, "inputs": {"a": ["A"], "b": [], "c": ["A"]}},
        {"op": "delete"},
    ],
)
def test_whatever_else_goes_the_whole_way(news: dict[str, object]) -> None:
    assert not repeated(replace(KNOWN, **news), LINK)
