"""Which dead letters are meant, which say the same, and where a retry goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.oncall.desk import AT_ONCE, AT_ONCE_BYTES, portions
from syncline.oncall.letters import Found, Newest, Original, Place, Selection, parse_id, sent_again
from syncline.runtime.kafka import Message, Placed
from syncline.state.letters import Mark
from syncline.timeline.asked import Unknown

START = datetime(2026, 11, 21, tzinfo=UTC)
CONTACT = Ref("salesforce", "Contact", "003/1")


def letter(**given: Any) -> DeadLetter:
    wanted: dict[str, Any] = {
        "stage": "mapper",
        "code": "MALFORMED",
        "message": "no",
        "fields": (),
        "remedy": "",
        "position": "s.changes.hub.customer/1/7",
        "ref": None,
        "pipeline": None,
        "input": b"{",
    }
    return DeadLetter(**{**wanted, **given})


def found(offset: int = 0, **given: Any) -> Found:
    return Found(1, offset, START + timedelta(seconds=offset), letter(**given))


@pytest.mark.parametrize(
    ("position", "place"),
    [
        ("s.changes.hub.customer/1/7", Place("s.changes.hub.customer", 1, 7)),
        ("salesforce/Contact/003 version 7", None),
        ("salesforce/Contact/1/7", None),
        ("t/x/7", None),
        ("7", None),
        ("", None),
    ],
)
def test_a_place_is_told_from_a_sources_own_words(position: str, place: Place | None) -> None:
    assert Place.parse(position) == place


@pytest.mark.parametrize(("typed", "meant"), [("3/17", (3, 17)), ("s.dead-letters/3/17", (3, 17))])
def test_an_id_is_a_partition_and_an_offset(typed: str, meant: tuple[int, int]) -> None:
    assert parse_id(typed) == meant


@pytest.mark.parametrize("typed", ["", "3", "3/", "/3", "x/3", "3/17/", "-1/3"])
def test_what_is_no_id_is_refused(typed: str) -> None:
    with pytest.raises(Unknown, match="like 3/17"):
        parse_id(typed)


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(refs=[CONTACT], pipeline="p", code="MALFORMED", stage="mapper"), True),
        (Selection(refs=[CONTACT._replace(id="003")]), False),
        (Selection(refs=[]), False),
        (Selection(pipeline="q"), False),
        (Selection(code="X"), False),
        (Selection(stage="writer"), False),
        (Selection(position="s.changes.hub.customer"), True),
        (Selection(position="s.changes.hub.customer/1/"), True),
        (Selection(position="s.changes.hub.customer/1/7"), True),
        (Selection(position="s.changes.hub.custom"), False),
        (Selection(position="s.changes.hub.customer/11"), False),
    ],
)
def test_a_selection_takes_what_fits_all_that_it_names(selection: Selection, taken: bool) -> None:
    assert selection.takes(letter(ref=str(CONTACT), pipeline="p")) is taken


def test_letters_about_the_same_input_are_one_and_the_newest_stay() -> None:
    newest = Newest(2)
    newest.add([found(0), found(1, message="again"), found(2, position="t/0/1")])
    assert [(each.id, each.times, each.letter.message) for each in newest.shown] == [
        ("1/2", 1, "no"),
        ("1/1", 2, "again"),
    ]
    assert newest.counts.total() == 3
    for offset in range(3, 50):
        newest.add([found(offset, position=f"t/0/{offset}")])
        assert len(newest._found) <= 4
    assert [each.id for each in newest.shown] == ["1/49", "1/48"]
    assert newest.counts.total() == 50
    assert all(each.letter.input is None for each in newest.shown), "inputs are not kept"


def test_other_pipelines_and_stages_of_one_input_are_letters_of_their_own() -> None:
    assert len({found().input, found(pipeline="p").input, found(stage="poller").input, found(ref="a/b/c").input}) == 4


def test_a_mark_covers_what_was_there_when_it_was_made() -> None:
    mark = Mark(b"", 5, START, "retried")
    assert mark.covers(5, START)
    assert not mark.covers(6, START)
    assert not mark.covers(0, START + timedelta(seconds=1)), "a topic that was made anew begins at 0"


def test_portions_are_bounded_by_number_and_size_and_send_an_input_once() -> None:
    alike = [found(n) for n in range(3)]
    assert [[each.id for each in portion] for portion in portions(alike)] == [["1/2"]]
    many = [found(n, position=f"t/0/{n}") for n in range(AT_ONCE + 1)]
    assert [len(portion) for portion in portions(many)] == [AT_ONCE, 1]
    large = [found(n, position=f"t/0/{n}", input=b"x" * (AT_ONCE_BYTES // 2)) for n in range(3)]
    assert [len(portion) for portion in portions(large)] == [2, 1]
    assert portions([]) == []


PLACE = Place("s.commands.hub", 1, 7)
HEADERS = (("ce_id", b"1"),)


def test_a_command_goes_to_its_own_partition_and_needs_nothing_else() -> None:
    refused = letter(stage="writer", ref=str(CONTACT), input=b"command")
    assert sent_again(refused, PLACE, None, "r") == Placed(PLACE.topic, 1, str(CONTACT).encode(), b"command")


def test_other_inputs_go_back_with_key_and_headers() -> None:
    original = Original(b"k", b"{", HEADERS)
    assert sent_again(letter(), PLACE, original, "r") == Placed(PLACE.topic, 1, b"k", b"{", HEADERS)
    large = Original(b"k", b"x" * 10, ())
    assert sent_again(letter(input=None), PLACE, large, "r") == Placed(PLACE.topic, 1, b"k", b"x" * 10)


@pytest.mark.parametrize("original", [None, Original(b"k", b"another message of a topic made anew", ())])
def test_what_is_gone_is_asked_for_where_a_record_is_named(original: Original | None) -> None:
    again = sent_again(letter(ref=str(CONTACT)), PLACE, original, "r")
    assert isinstance(again, Message)
    assert (again.topic, again.key, Request.decode(again.value).ref) == ("r", str(CONTACT).encode(), CONTACT)
    with pytest.raises(Unknown, match="then drop this letter"):
        sent_again(letter(), PLACE, original, "r")


def test_a_command_whose_topic_is_gone_has_its_record_read_again() -> None:
    assert isinstance(sent_again(letter(stage="writer", ref=str(CONTACT)), None, None, "r"), Message)


def test_a_name_that_is_no_record_is_left_alone() -> None:
    with pytest.raises(Unknown, match="drop this letter"):
        sent_again(letter(ref="x", input=None), None, None, "r")
