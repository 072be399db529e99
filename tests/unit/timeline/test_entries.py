"""From messages and rows to one timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.mapper.mapped import Wait
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.link import Link, Side
from syncline.contracts.request import Request
from syncline.contracts.result import Result
from syncline.timeline.asked import Unknown
from syncline.timeline.entries import conflict, entries, letters, link
from syncline.timeline.entry import Entry, duration
from syncline.timeline.story import Story, choose
from tests.unit.timeline.world import (
    ACCOUNT,
    CONTACT,
    CUSTOMER,
    NAMES,
    OTHER,
    WAIT,
    Message,
    after,
    change,
    command,
    mapped,
    message,
    result,
)

BOTH = (CONTACT, CUSTOMER)


def read(messages: Sequence[Message], refs: Sequence[object] = BOTH) -> list[Entry]:
    return list(entries(messages, refs, NAMES))  # type: ignore[arg-type]


def results(told: Result) -> list[Message]:
    return [message(NAMES.results, key, told.encode()) for key in told.message_keys()]


def whats(found: Sequence[Entry]) -> list[tuple[str, str]]:
    return [(entry.stage, entry.what) for entry in found]


def test_every_stage_tells_its_part() -> None:
    changes, commands = NAMES.changes(CONTACT.kind), NAMES.commands("hub")
    own = Wait(str(CONTACT), "hub/customer", None)
    reference = mapped(waits=(WAIT, own), creates=False, inputs={"boss_id": ["ReportsToId"]})
    found = read(
        [
            message(NAMES.requests, str(CONTACT), Request(ref=CONTACT, reason="x waits for it").encode()),
            message(changes, CONTACT.id, change().encode()),
            message(NAMES.mapped, str(ACCOUNT), mapped().encode()),
            message(NAMES.mapped, str(ACCOUNT), mapped(waits=()).encode()),
            message(NAMES.mapped, str(ACCOUNT), reference.encode()),
            message(NAMES.mapped, str(ACCOUNT), mapped(left=True).encode()),
            message(commands, str(ACCOUNT), command().encode()),
            message(NAMES.replay, CONTACT.id, change().encode()),
            message(NAMES.replay, CONTACT.id, change(OTHER).encode()),
        ]
    )
    *found, again = found
    assert whats([again]) == [("change", "create of salesforce once more")]
    assert whats(found) == [
        ("request", "asked for in salesforce"),
        ("change", "create captured in salesforce"),
        ("mapped", f"mapped to hub/customer, to go on after {ACCOUNT}"),
        ("mapped", "mapped to hub/customer"),
        ("mapped", f"the reference boss_id mapped to hub/customer, to go on after {ACCOUNT} and its own counterpart"),
        ("mapped", f"no longer to wait for {ACCOUNT}"),
        ("command", "sent to the writer of hub"),
    ]
    assert {entry.ref for entry in found} == {CONTACT}
    assert found[0].detail == {"why": "x waits for it"}
    assert found[1].detail["fields"] == {"LastName": "Lund", "Title": None}
    assert found[1].where == f"{changes}/0/0"
    assert found[-1].detail["fields"] == {"last_name": "Lund"}


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (result(), f"created {CUSTOMER}"),
        (result(created=False), f"patched {CUSTOMER}"),
        (result(outcome="unchanged", written=()), f"nothing to write: {CUSTOMER} holds it already"),
        (result(outcome="conflict", reason="both", written=()), f"{CUSTOMER} keeps its own values"),
        (result(outcome="skipped", reason="it has no AccountId", target=None), "skipped"),
        (result(outcome="rejected", reason="NO: no", target=None), "rejected"),
    ],
)
def test_a_result_is_told_once_with_its_reason(told: Result, what: str) -> None:
    [entry] = read(results(told))
    assert (entry.stage, entry.what, entry.detail.get("why")) == ("result", what, told.reason)


def test_a_result_is_told_from_the_other_side_when_only_that_is_known() -> None:
    assert [entry.ref for entry in read(results(result()), [CUSTOMER])] == [CUSTOMER]


def test_what_is_about_others_is_left_out() -> None:
    about_others = [
        message(NAMES.mapped, str(ACCOUNT), mapped(OTHER).encode()),
        message(NAMES.commands("hub"), str(ACCOUNT), command(OTHER).encode()),
        *results(result(source=OTHER, target=None, outcome="skipped")),
    ]
    assert read(about_others) == []
    assert read([message(NAMES.mapped, str(ACCOUNT), mapped().encode())], [ACCOUNT]) == []


def test_what_cannot_be_read_is_told_as_such() -> None:
    broken = mapped().encode().replace(b'"op":"upsert"', b'"op":"?"')
    found = read(
        [
            message(NAMES.changes(CONTACT.kind), CONTACT.id, b"{}"),
            message(NAMES.results, str(CUSTOMER), None),
            message(NAMES.mapped, str(ACCOUNT), broken),
        ]
    )
    assert [(entry.stage, entry.ref) for entry in found] == [
        ("change", CONTACT),
        ("result", CUSTOMER),
        ("mapped", CONTACT),
    ]
    assert {entry.what for entry in found} == {"a message that cannot be read"}
    assert found[1].detail == {"why": "the message has no value"}


def test_dead_letters_go_by_the_record_or_by_the_position_of_an_input_of_its_own() -> None:
    rejected = RecordRejected("no such picklist value", code="BAD_VALUE", fields=("tier",), remedy="Add it.")
    by_name = DeadLetter.of(rejected, stage="writer", position="id", input=b"{}", ref=str(CONTACT), pipeline="p")
    place = f"{NAMES.changes(CONTACT.kind)}/0/7"
    by_place = DeadLetter.of(Malformed("not JSON"), stage="mapper", position=place, input=b"{")
    others = DeadLetter.of(Malformed("not JSON"), stage="mapper", position=f"{place}0", input=b"{")
    messages = [message(NAMES.dead_letters, each.key, each.encode()) for each in (by_name, by_place, others)]
    found = list(letters(messages, BOTH, {place: CONTACT}))
    assert whats(found) == [
        ("dead letter", "the writer gave up: BAD_VALUE"),
        ("dead letter", "the mapper gave up: MALFORMED"),
    ]
    assert found[0].detail == {
        "why": "no such picklist value",
        "fields": ("tier",),
        "remedy": "Add it.",
        "pipeline": "p",
        "input_from": "id",
    }


CLASH = Conflict(
    pipeline="p",
    source=CONTACT,
    target=CUSTOMER,
    field="phone",
    agreed=None,
    incoming="1",
    present="2",
    decided="review",
    version="v1",
)


@pytest.mark.parametrize(
    ("decided", "what"),
    [
        ("incoming", "both sides changed phone: salesforce wins"),
        ("present", "both sides changed phone: hub wins"),
        ("review", "both sides changed phone: a person has to decide"),
        ("paused", "writes of phone go back and forth: a person has to look"),
    ],
)
def test_a_conflict_says_who_won_and_all_three_values(decided: str, what: str) -> None:
    row = replace(CLASH, decided=decided)
    [entry] = conflict(row, BOTH, number=7, at=after(0), resolved=None, resolved_at=None)
    assert entry.what == what
    values = {"agreed": None, "salesforce": "1", "hub": "2"}
    assert entry.detail == {"conflict": 7, "pipeline": "p", "version": "v1", **values}


def test_what_a_person_decided_is_told_when_it_was() -> None:
    [_, entry] = conflict(CLASH, BOTH, number=7, at=after(0), resolved="hub", resolved_at=after(9))
    assert (entry.at, entry.what) == (after(9), "a person decided phone: hub wins")


def test_a_deletion_and_the_end_of_a_pair_are_told_as_such() -> None:
    gone = command(op="delete", fields={}, inputs={}, on_delete="delete")
    found = read([message(NAMES.commands("hub"), str(ACCOUNT), gone.encode()), *results(result(ended=True))])
    assert whats(found) == [
        ("command", "deletion sent to the writer of hub"),
        ("result", f"{CUSTOMER} is no longer its counterpart"),
    ]
    assert found[0].detail["on_delete"] == "delete"
    ended = Link(Side(CONTACT, "v1", {}), Side(CUSTOMER, "7", {}), 2, ended="deleted", ended_by="salesforce")
    assert link(ended, after(0)).what == f"linked no longer, deleted from salesforce: {CUSTOMER} and {CONTACT}"


def test_what_keeps_a_pair_from_being_written_is_told() -> None:
    stuck = Link(Side(CONTACT, "v1", {}), Side(CUSTOMER, "7", {}, ("phone",)), 2, paused=True)
    entry = link(stuck, after(0))
    assert entry.detail["paused"] is True
    assert entry.detail[str(CUSTOMER)]["in_review"] == ("phone",)


def test_a_link_reads_the_same_from_both_sides() -> None:
    one, other = Side(CONTACT, "v1", {"LastName": "Lund"}), Side(CUSTOMER, "7", {"last_name": "Lund"})
    entry = link(Link(one, other, 1), after(0))
    assert entry == link(Link(other, one, 1), after(0))
    assert entry.detail[str(CUSTOMER)] == {"version": "7", "known": {"last_name": "Lund"}}


def test_the_story_is_in_the_order_of_time_and_causes_come_before_effects() -> None:
    found = read(
        [
            *results(result()),
            message(NAMES.mapped, str(ACCOUNT), mapped().encode(), at=-1),
            message(NAMES.changes(CONTACT.kind), CONTACT.id, change().encode()),
            message(NAMES.commands("hub"), str(ACCOUNT), command().encode()),
        ]
    )
    story = choose("x", [frozenset(BOTH)], found)
    assert [entry.stage for entry in story.entries] == ["mapped", "change", "command", "result"]
    assert story.refs == (CUSTOMER, CONTACT)
    document = story.document()
    assert document["records"] == [str(CUSTOMER), str(CONTACT)]
    assert document["entries"][0]["at"] == "2027-01-15T07:59:59.999+00:00"


def test_the_meaning_that_anything_is_known_of_is_chosen() -> None:
    found = read([message(NAMES.changes(CONTACT.kind), CONTACT.id, change().encode())])
    groups = [frozenset({ACCOUNT}), frozenset(BOTH)]
    assert choose("x", groups, found) == Story((CUSTOMER, CONTACT), found)


def test_a_record_that_nothing_is_known_of_is_said_to_be_with_the_next_step() -> None:
    with pytest.raises(Unknown, match=r"nothing is known of 0039.*hub/customer, salesforce/Contact.*Check the id"):
        choose("0039", [frozenset(BOTH)], [])


def test_an_id_of_several_records_is_refused_with_their_names() -> None:
    found = [
        *read([message(NAMES.changes(CONTACT.kind), CONTACT.id, change().encode())]),
        *read([message(NAMES.changes(ACCOUNT.kind), ACCOUNT.id, change(ACCOUNT).encode())], [ACCOUNT]),
    ]
    with pytest.raises(Unknown, match=f"may be any of {CUSTOMER}, {ACCOUNT}: say which"):
        choose("7", [frozenset(BOTH), frozenset({ACCOUNT})], found)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (42, "42 s"), (600, "10 min"), (18_000, "5 h"), (259_200, "3 days")],
)
def test_spans_are_short(seconds: float, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said
