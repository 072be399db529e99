"""Who waits for whom, read from rows as the mapper's own code writes them."""

from __future__ import annotations

import pytest

from services.mapper.engine.hop import Input
from services.mapper.join import HELD, Join
from services.mapper.mapped import Mapped, Wait
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Ref
from syncline.timeline.fetched import moment
from syncline.timeline.held import Slot, age, held_now, holds, steps
from tests.unit.timeline.world import (
    ACCOUNT,
    COMPANY,
    CONTACT,
    NAMES,
    OTHER,
    START,
    WAIT,
    after,
    held_row,
    mapped,
    message,
    tombstone,
)


class Empty:
    def get(self, table: str, key: bytes) -> bytes | None:
        return None

    def scan(self, table: str, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return []


def rows_of_the_mapper(child: Mapped) -> list[tuple[bytes, bytes | None]]:
    record = Input(NAMES.mapped, 0, 0, child.head.key, child.encode(), START)
    return list(Join(NAMES).run([record], Empty()).changes[HELD].items())


def test_what_the_mapper_stores_is_read() -> None:
    rows = rows_of_the_mapper(mapped())
    assert len(rows) == 2, "the child's, and the one that says that the parent was asked for"
    [step] = steps(message(NAMES.changelog("held"), key, value) for key, value in rows)
    assert step.slot == Slot(ACCOUNT, CONTACT, "contact-to-customer", "company_id")
    assert (step.at, step.since, step.version) == (moment(START), moment(START), "v1")


def test_a_command_that_only_waits_has_no_field() -> None:
    own = mapped(waits=(Wait(str(CONTACT), "hub/customer", None),))
    [step] = steps([held_row(own)])
    assert step.slot == Slot(CONTACT, CONTACT, "contact-to-customer", None)


def test_ids_may_hold_what_separates_names() -> None:
    odd = Ref("hub", "company", "a>b/c")
    [step] = steps([held_row(mapped(waits=(Wait(str(odd), str(COMPANY), "x"),)))])
    assert step.slot.on == odd


def test_a_hold_lasts_from_its_first_row_though_the_record_changes_meanwhile() -> None:
    turns = list(steps([held_row(mapped()), held_row(mapped(version="v2"), at=40_000)]))
    [held] = held_now(turns)
    assert (held.version, age(held, after(42))) == ("v2", "42 s")


def test_a_row_that_a_restarted_mapper_wrote_again_is_told_once() -> None:
    row, gone = held_row(mapped()), tombstone(mapped(), at=900)
    assert len(list(steps([row, row, gone, gone]))) == 2


def test_what_was_released_and_held_again_waits_anew() -> None:
    child = mapped()
    turns = list(steps([held_row(child), tombstone(child, at=1000), held_row(child, at=5000)]))
    assert [each.since for each in held_now(turns)] == [after(5)]
    assert not held_now(turns[:2])


def test_the_longest_wait_comes_first() -> None:
    turns = steps([held_row(mapped(OTHER), at=10), held_row(mapped())])
    assert [each.slot.child for each in held_now(turns)] == [CONTACT, OTHER]


def test_a_foreign_row_is_named() -> None:
    with pytest.raises(Malformed, match=r"s-mapper-held-changelog/0/7 .*four parts"):
        list(steps([message(NAMES.changelog("held"), b"a\0b", b"{}", offset=7)]))


def told(rows: list[object], *refs: Ref, now: float = 100) -> list[str]:
    return [entry.what for entry in holds(rows, refs, after(now))]  # type: ignore[arg-type]


def test_a_child_is_told_what_it_waited_for_and_what_it_waits_for_now() -> None:
    child = mapped()
    rows: list[object] = [held_row(child), held_row(mapped(version="v2"), at=500)]
    waits = [f"held: waits for {ACCOUNT}", f"still held: waits for {ACCOUNT}"]
    assert told(rows, CONTACT, now=42) == [*waits, f"held now: waiting for {ACCOUNT}, 42 s"]
    rows.append(tombstone(child, at=900))
    assert told(rows, CONTACT) == [*waits, f"no longer held for {ACCOUNT}"]
    [*_, last] = holds(rows, [CONTACT], after(100))  # type: ignore[arg-type]
    assert last.detail["after"] == "0.9 s"


def test_those_who_wait_for_a_record_are_told_together() -> None:
    children = [mapped(Ref(*CONTACT.kind, f"003{n}")) for n in range(12)]
    rows = [*(held_row(child, at=n) for n, child in enumerate(children)), tombstone(children[0], at=900)]
    found = list(holds(rows, [ACCOUNT], after(10)))
    assert [entry.what for entry in found] == [
        "12 records held for it, from here on",
        "1 record no longer held for it",
        "held now: 11 records waiting for it, 10 s",
    ]
    assert (len(found[0].detail["records"]), found[0].detail["more"]) == (10, 2)
    assert {entry.ref for entry in found} == {ACCOUNT}


def test_a_parent_that_is_not_named_and_an_own_counterpart_are_said_in_words() -> None:
    nobody = mapped(waits=(Wait(str(Ref(*ACCOUNT.kind, "-")), str(COMPANY), "company_id"),))
    own = mapped(waits=(WAIT, Wait(str(CONTACT), "hub/customer", None))[1:])
    assert told([held_row(nobody), held_row(own)], CONTACT)[:2] == [
        "held: waits for a salesforce/Account that it does not name",
        "held: waits for its own counterpart",
    ]
