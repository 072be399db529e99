"""The merge of one field, rule by rule: what was agreed, what the target holds now, what comes in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.writer import merge as merging
from services.writer.merge import SKEW, UNKNOWN, Clash, Decided, Merged, bears_mark, changed, same
from services.writer.sinks import Present
from syncline.contracts.command import Command
from syncline.contracts.link import Side
from syncline.contracts.ref import Fields, Object, Ref, Value

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
merge, decide = partial(merging.merge, now=NOW), partial(merging.decide, now=NOW)
ACCOUNT, COMPANY = Object("sf", "Account"), Object("hub", "company")
EARLY, LATE = "2026-01-01T10:00:00Z", "2026-01-01T10:00:05Z"
values = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "x", "1", "true"])


def command(
    fields: Fields,
    *,
    seen: Fields | None = None,
    inputs: dict[str, list[str]] | None = None,
    conflict: str | dict[str, str] = "sf",
    time: str = LATE,
) -> Command:
    """From the Account 001 to its company: each field is fed by the source field of its name in capitals."""
    return Command(
        pipeline="out",
        op="upsert",
        source=Ref(*ACCOUNT, "001"),
        version="2",
        time=time,
        target=COMPANY,
        fields=fields,
        seen={field.upper(): value for field, value in fields.items()} if seen is None else seen,
        inputs={field: [field.upper()] for field in fields} if inputs is None else inputs,
        key="sf_id",
        conflict={"*": conflict} if isinstance(conflict, str) else conflict,
    )


def present(values: Fields, *, time: str = EARLY) -> Present:
    return Present("c1", values, "7", time)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        ("x", "x", True),
        (None, None, True),
        (True, True, True),
        (True, 1, False),
        (False, 0, False),
        (None, "", False),
        (None, False, False),
        (1, "1", False),
        ("x", "X", False),
    ],
)
def test_values_are_the_same(one: Value, other: Value, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal


@given(values)
def test_what_was_never_agreed_on_differs_from_every_value(value: Value) -> None:
    assert not same(UNKNOWN, value)
    assert same(value, value)


CHANGED: dict[str, tuple[Command, Fields, Fields, Fields]] = {
    # name: command, source known, target known, what is worth writing
    "nothing changed": (command({"name": "x"}), {"NAME": "x"}, {"name": "x"}, {}),
    "changed at the source": (command({"name": "y"}), {"NAME": "x"}, {"name": "x"}, {"name": "y"}),
    "an echo of the target's own value": (command({"name": "y"}), {"NAME": "x"}, {"name": "y"}, {}),
    "only the target's value differs": (command({"name": "x"}), {"NAME": "x"}, {"name": "y"}, {}),
    "never agreed on": (command({"name": "x"}), {"NAME": "x"}, {}, {"name": "x"}),
    "the source was never seen": (command({"name": "x"}), {}, {"name": "y"}, {"name": "x"}),
    "cleared on purpose": (command({"name": None}), {"NAME": "x"}, {"name": "x"}, {"name": None}),
    "a lossy transform is no change": (command({"name": "x"}, seen={"NAME": "X"}), {"NAME": "X"}, {"name": "x "}, {}),
    "static and different": (command({"name": "x"}, inputs={"name": []}), {}, {"name": "y"}, {"name": "x"}),
    "static and there": (command({"name": "x"}, inputs={"name": []}), {}, {"name": "x"}, {}),
    "one of several inputs": (
        command({"name": "a b"}, seen={"FIRST": "a", "LAST": "b"}, inputs={"name": ["FIRST", "LAST"]}),
        {"FIRST": "a", "LAST": "c"},
        {"name": "a c"},
        {"name": "a b"},
    ),
    "each field by itself": (
        command({"name": "y", "phone": "1"}),
        {"NAME": "x", "PHONE": "1"},
        {"name": "x", "phone": "1"},
        {"name": "y"},
    ),
    "true is not one": (command({"name": True}), {"NAME": 1}, {"name": 1}, {"name": True}),
}


@pytest.mark.parametrize(("given_", "source", "target", "news"), CHANGED.values(), ids=CHANGED)
def test_what_is_worth_writing(given_: Command, source: Fields, target: Fields, news: Fields) -> None:
    ours, theirs = Side(given_.source, "1", source), Side(Ref("hub", "company", "c1"), "1", target)
    assert changed(given_, ours, theirs) == news


def test_a_contested_value_is_offered_again_when_it_changes() -> None:
    theirs = Side(Ref("hub", "company", "c1"), "1", {}, contested=("name",))
    assert changed(command({"name": "x"}), Side(Ref("sf", "Account", "001"), "1", {"NAME": "x"}), theirs) == {}
    assert changed(command({"name": None}), Side(Ref("sf", "Account", "001"), "1", {"NAME": "x"}), theirs) == {
        "name": None
    }


MARK = {"sf_id": "001"}
MERGED: dict[str, tuple[Value, Fields, Fields, Fields, Fields, str | None]] = {
    # name: incoming, agreed, present; patch, known, how a clash was decided
    "the target holds what was agreed": ("y", {"f": "x"}, {"f": "x"}, {"f": "y"}, {}, None),
    "the target holds it already": ("y", {"f": "x"}, {"f": "y"}, {}, {"f": "y"}, None),
    "both changed it, the source wins": ("y", {"f": "x"}, {"f": "z"}, {"f": "y"}, {}, "incoming"),
    "the target was emptied meanwhile": ("y", {"f": "x"}, {"f": None}, {"f": "y"}, {}, "incoming"),
    "cleared where the target holds what was agreed": (None, {"f": "x"}, {"f": "x"}, {"f": None}, {}, None),
    "cleared where the target changed": (None, {"f": "x"}, {"f": "z"}, {"f": None}, {}, "incoming"),
    "never agreed, the target is empty": ("y", {}, {"f": None}, {"f": "y"}, {}, None),
    "never agreed, the target lacks it": ("y", {}, {}, {"f": "y"}, {}, None),
    "never agreed, the target differs": ("y", {}, {"f": "z"}, {"f": "y"}, {}, "incoming"),
    "never agreed, empty never blanks": (None, {}, {"f": "z"}, {}, {"f": None}, None),
    "never agreed, both are empty": (None, {}, {"f": None}, {}, {"f": None}, None),
    "never agreed, but made by Syncline": (None, {}, {"f": "z", **MARK}, {"f": None}, {}, "incoming"),
    "contested, and emptied": (None, {"f": UNKNOWN}, {"f": "z"}, {"f": None}, {}, "incoming"),
    "contested, the target was emptied": ("y", {"f": UNKNOWN}, {"f": None}, {"f": "y"}, {}, "incoming"),
    "agreed to be empty": ("y", {"f": None}, {"f": None}, {"f": "y"}, {}, None),
    "agreed to be empty, filled meanwhile": ("y", {"f": None}, {"f": "z"}, {"f": "y"}, {}, "incoming"),
}


@pytest.mark.parametrize(("incoming", "agreed", "now", "patch", "known", "decided"), MERGED.values(), ids=MERGED)
def test_one_field(
    incoming: Value, agreed: Fields, now: Fields, patch: Fields, known: Fields, decided: Decided | None
) -> None:
    given_ = command({"f": incoming})
    base = None if agreed.get("f") is UNKNOWN else agreed.get("f")
    clashes = (Clash("f", base, incoming, now.get("f"), decided),) if decided else ()
    assert merge(given_, given_.fields, agreed, present(now)) == Merged(patch, known, clashes)


@pytest.mark.parametrize("policy", ["hub", "review"])
@pytest.mark.parametrize("agreed", [{"f": "x"}, {}])
def test_where_the_target_wins_what_was_agreed_stays(policy: str, agreed: Fields) -> None:
    """So that the target's own change still is one when its event comes."""
    given_ = command({"f": "y"}, conflict=policy)
    merged = merge(given_, given_.fields, agreed, present({"f": "z"}))
    decided: Decided = "present" if policy == "hub" else "review"
    assert merged == Merged({}, agreed, (Clash("f", agreed.get("f"), "y", "z", decided),))


def test_fields_are_merged_each_by_itself() -> None:
    given_ = command({"a": 1, "b": 2, "c": 3}, conflict={"*": "sf", "c": "hub"})
    merged = merge(given_, given_.fields, {"a": 0, "b": 0, "c": 0}, present({"a": 0, "b": 2, "c": 9}))
    assert merged == Merged({"a": 1}, {"b": 2, "c": 0}, (Clash("c", 0, 3, 9, "present"),))


@given(incoming=values, agreed=st.none() | st.tuples(values), now=values, policy=st.sampled_from(["sf", "hub"]))
def test_a_value_that_differs_is_never_overwritten_unseen(
    incoming: Value, agreed: tuple[Value] | None, now: Value, policy: str
) -> None:
    """Whatever is lost was agreed on before, or is told as a clash."""
    given_ = command({"f": incoming}, conflict=policy)
    base: Fields = {"f": agreed[0]} if agreed else {}
    merged = merge(given_, given_.fields, base, present({"f": now}))
    if "f" in merged.patch and now is not None and not same(now, base.get("f")):
        assert [clash.present for clash in merged.clashes] == [now]
    contested = not agreed and [clash.decided for clash in merged.clashes] == ["present"]
    assert ("f" in merged.patch) + ("f" in merged.known) + contested == 1


def test_only_the_mark_of_this_source_record_counts() -> None:
    given_ = command({})
    assert bears_mark(given_, present({"sf_id": "001"}))
    assert not bears_mark(given_, present({"sf_id": "002"}))
    assert not bears_mark(given_, present({"sf_id": None}))
    assert not bears_mark(structs.replace(given_, key=None), present({"sf_id": "001"}))


@pytest.mark.parametrize(
    ("conflict", "decided"),
    [
        ({"*": "sf"}, "incoming"),
        ({"*": "hub"}, "present"),
        ({"*": "review"}, "review"),
        ({"*": "hub", "f": "sf"}, "incoming"),
        ({"*": "sf", "f": "review"}, "review"),
        ({"*": "latest"}, "incoming"),
        ({}, "incoming"),
    ],
)
def test_a_fields_own_policy_goes_before_that_of_the_others(conflict: dict[str, str], decided: Decided) -> None:
    assert decide(command({}, conflict=conflict, time=LATE), "f", present({}, time=EARLY)) == decided


def winner(ours: Object, at: str, theirs: Object, then: str) -> str:
    """The system that wins by `latest`, seen from a command of `ours`."""
    given_ = structs.replace(command({}, conflict="latest", time=at), source=Ref(*ours, "1"), target=theirs)
    return ours.system if decide(given_, "f", present({}, time=then)) == "incoming" else theirs.system


TIMES = [EARLY, LATE, "2026-01-01T10:00:00.000+0000", "2026-01-01T12:00:00+02:00", "2026-01-01T10:00:00.999Z"]


@pytest.mark.parametrize(("account", "company"), list(product(TIMES, TIMES)))
def test_latest_has_one_winner_from_both_directions(account: str, company: str) -> None:
    """Equal times too, however they are written: otherwise the two sides would swap their values without end."""
    assert winner(ACCOUNT, account, COMPANY, company) == winner(COMPANY, company, ACCOUNT, account)


def test_latest_is_who_changed_it_last_and_a_tie_goes_to_one_system() -> None:
    cases: list[tuple[str, str, Any]] = [(LATE, EARLY, "sf"), (EARLY, LATE, "hub"), (EARLY, TIMES[3], "sf")]
    for account, company, expected in cases:
        assert winner(ACCOUNT, account, COMPANY, company) == expected


def test_times_that_two_clocks_cannot_tell_apart_count_as_equal() -> None:
    close = (datetime.fromisoformat(EARLY) + SKEW - timedelta(milliseconds=1)).isoformat()
    for ours, theirs in ((EARLY, close), (close, EARLY)):
        given_ = command({"f": 1}, conflict="latest", time=ours)
        assert decide(given_, "f", present({}, time=theirs)) == "incoming"  # sf sorts behind hub


def test_a_clock_that_runs_ahead_does_not_win_for_ever() -> None:
    ahead = (NOW + timedelta(days=1)).isoformat()
    soon = (NOW + timedelta(days=2)).isoformat()
    assert decide(command({"f": 1}, conflict="latest", time=ahead), "f", present({}, time=soon)) == "incoming"


def test_a_destination_value_is_the_targets_own_through_the_transforms() -> None:
    given_ = structs.replace(command({}), derived={"f": ["upper"], "g": ["trim"]})
    assert merge(given_, {}, {}, present({"f": "abc", "g": "clean"})) == Merged({"f": "ABC"}, {}, ())
