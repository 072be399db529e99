"""From commands to what is sent and what is known afterwards, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from msgspec import structs

from services.writer import plan
from services.writer.merge import Clash
from services.writer.plan import (
    Step,
    claimable,
    conflicts,
    created,
    newest,
    news,
    result,
    settled,
    settled_by_link,
)
from services.writer.sinks import Present, Saved, Write
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Object, Ref

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
patched, concluded = partial(plan.patched, now=NOW), partial(plan.concluded, now=NOW)
COMPANY = Object("hub", "company")
SOURCE, TARGET = Ref("sf", "Account", "001"), Ref(*COMPANY, "c1")


def command(fields: Fields, *, version: str = "2", **others: Any) -> Command:
    given: dict[str, Any] = {
        "pipeline": "out",
        "op": "upsert",
        "source": SOURCE,
        "version": version,
        "time": "2026-01-01T10:00:00Z",
        "target": COMPANY,
        "fields": fields,
        "seen": {field.upper(): value for field, value in fields.items()},
        "inputs": {field: [field.upper()] for field in fields},
        "key": "sf_id",
        "conflict": {"*": "sf"},
    }
    return Command(**(given | others))


def reference(*, version: str, parent: str = "c9") -> Command:
    return command({"parent_id": parent}, version=version, creates=False)


def link(source: Fields, target: Fields, *, version: str = "1", written: str = "5") -> Link:
    return Link(Side(SOURCE, version, source), Side(TARGET, written, target), revision=3)


def present(values: Fields) -> Present:
    return Present("c1", values, "7", "2026-01-01T09:00:00Z")


def test_of_a_records_commands_the_newest_is_left_in_order_of_first_arrival() -> None:
    other = Ref("sf", "Account", "002")
    batch = [
        command({"name": "b"}, version="2"),
        command({"name": "x"}, source=other),
        command({"name": "c"}, version="3"),
        command({"name": "a"}, version="1"),
    ]
    assert newest(batch) == [batch[2], batch[1]]


def test_among_equal_versions_the_later_arrival_wins() -> None:
    """SystemModstamp has whole seconds: two changes can share one."""
    batch = [command({"name": "first"}), command({"name": "second"}), command({"name": "old"}, version="1")]
    assert newest(batch) == [batch[1]]


def test_pipelines_are_kept_apart() -> None:
    batch = [command({"name": "a"}), command({"name": "b"}, pipeline="audit")]
    assert newest(batch) == batch


@pytest.mark.parametrize("turned", [False, True])
def test_a_reference_that_is_no_older_joins_its_record(turned: bool) -> None:
    whole, same_version = command({"name": "a"}, version="2"), reference(version="2")
    batch = [same_version, whole] if turned else [whole, same_version]
    (folded,) = newest(batch)
    assert folded == structs.replace(
        whole,
        fields={"name": "a", "parent_id": "c9"},
        seen={"NAME": "a", "PARENT_ID": "c9"},
        inputs={"name": ["NAME"], "parent_id": ["PARENT_ID"]},
    )
    assert folded.creates


def test_a_newer_reference_moves_the_version_and_an_older_one_is_dropped() -> None:
    whole = command({"name": "a"}, version="2")
    (folded,) = newest([reference(version="3", parent="new"), whole, reference(version="1", parent="old")])
    assert (folded.version, folded.fields) == ("3", {"name": "a", "parent_id": "new"})


def test_references_alone_stay_a_reference_and_the_newest_wins() -> None:
    (folded,) = newest([reference(version="3", parent="new"), reference(version="2", parent="old")])
    assert (folded.creates, folded.version, folded.fields) == (False, "3", {"parent_id": "new"})
    (folded,) = newest([reference(version="3", parent="one"), reference(version="3", parent="two")])
    assert folded.fields == {"parent_id": "two"}


def test_nothing_comes_of_nothing() -> None:
    assert newest([]) == []


def test_an_older_version_than_the_applied_one_is_settled_at_once() -> None:
    stored = link({"NAME": "a"}, {"name": "a"}, version="2")
    assert settled_by_link(command({"name": "b"}, version="1"), stored) == ("skipped", "a newer version was applied")
    assert settled_by_link(command({"name": "b"}, version="2"), stored) is None


def test_an_equal_version_with_other_content_is_news() -> None:
    stored = link({"NAME": "a"}, {"name": "a"}, version="2")
    assert news(command({"name": "b"}), stored) == {"name": "b"}
    assert news(command({"name": "a"}), stored) == {}


def test_a_new_record_is_sent_without_what_is_empty_and_with_the_key_that_finds_it_again() -> None:
    step = created(command({"name": "a", "phone": None}))
    assert step.write == Write(None, {"name": "a"}, ("sf_id", "001"))
    assert step.known == {"phone": None}
    assert created(command({"name": "a"}, key=None)).write == Write(None, {"name": "a"})


def test_a_linked_record_gets_only_what_differs_and_only_if_it_still_holds_what_was_read() -> None:
    stored = link({"NAME": "a", "PHONE": "1"}, {"name": "a", "phone": "1"})
    step = patched(command({"name": "b", "phone": "1"}), stored, present({"name": "a", "phone": "9", "fax": "x"}))
    assert step.write == Write("c1", {"name": "b"}, None, {"name": "a"})


def test_a_record_that_is_linked_now_gets_the_mark_once() -> None:
    """Found by a match rule: the mark makes a repeat find the same record, also when the link was lost."""
    step = patched(command({"name": "a"}), None, present({"name": "A", "sf_id": None}))
    assert step.patch == {"name": "a", "sf_id": "001"}
    step = patched(command({"name": "a"}), None, present({"name": "a", "sf_id": "001"}))
    assert step.write is None
    step = patched(command({"name": "a"}, key=None), None, present({"name": "a"}))
    assert step.write is None


@pytest.mark.parametrize(
    ("key", "mark", "may"),
    [("sf_id", None, True), ("sf_id", "001", True), ("sf_id", "002", False), (None, "002", True)],
)
def test_a_record_with_anothers_mark_cannot_be_claimed(key: str | None, mark: str | None, may: bool) -> None:
    assert claimable(command({}, key=key), present({"sf_id": mark})) is may


def test_what_is_known_after_a_creation() -> None:
    step = created(command({"name": "a", "phone": None}))
    assert concluded(step, Saved("c5", True, "8")) == Link(
        Side(SOURCE, "2", {"NAME": "a", "PHONE": None}),
        Side(Ref(*COMPANY, "c5"), "8", {"name": "a", "phone": None}),
        revision=0,
    )


def test_what_is_known_after_a_first_link_leaves_the_mark_out() -> None:
    step = patched(command({"name": "a"}), None, present({"name": "A", "sf_id": None}))
    made = concluded(step, Saved("c1", False, "8"))
    assert made.target == Side(TARGET, "8", {"name": "a"})


def test_what_is_known_after_a_patch_keeps_the_rest_and_never_goes_back() -> None:
    stored = link({"NAME": "a", "FAX": "f"}, {"name": "a", "fax": "f"}, version="1", written="9")
    step = patched(command({"name": "b"}), stored, present({"name": "a"}))
    assert concluded(step, Saved("c1", False, "8")) == Link(
        Side(SOURCE, "2", {"NAME": "b", "FAX": "f"}),
        Side(TARGET, "9", {"name": "b", "fax": "f"}),
        revision=3,
        bounced_to="hub",
        bounced_at=NOW.isoformat(),
    )


def test_nothing_that_was_not_written_is_known_as_written() -> None:
    stored = link({"NAME": "a"}, {"name": "a"})
    unchanged = concluded(Step(command({"name": "a"}), stored), None)
    assert unchanged == replace(stored, source=replace(stored.source, version="2"))
    lost = patched(command({"name": "b"}, conflict={"*": "hub"}), stored, present({"name": "c"}))
    assert concluded(lost, None).target == replace(stored.target, version="7")


def test_what_was_captured_before_the_look_is_stale() -> None:
    """The link begins with what the look found, which an event from before may not take back."""
    step = patched(command({"name": "b"}), None, present({"name": "b", "sf_id": SOURCE.id}))
    begun = concluded(step, None)
    reverse = replace(begun, source=begun.target, target=begun.source)
    assert settled_by_link(command({}, source=TARGET, version="6"), reverse) == (
        "skipped",
        "a newer version was applied",
    )
    assert settled_by_link(command({}, source=TARGET, version="7"), reverse) is None


def test_a_result_says_what_became_of_the_command() -> None:
    stored = link({"NAME": "a"}, {"name": "a"})
    step, saved = created(command({"name": "a"})), Saved("c1", True, "8")
    told = result(step, concluded(step, saved), saved)
    assert (told.outcome, told.created, told.written, told.target) == ("written", True, ("name",), TARGET)
    step, saved = patched(command({"name": "b"}), stored, present({"name": "a"})), Saved("c1", False, "8")
    told = result(step, concluded(step, saved), saved)
    assert (told.outcome, told.created, told.written) == ("written", False, ("name",))
    step = Step(command({"name": "a"}), stored)
    told = result(step, concluded(step, None), None)
    assert (told.outcome, told.written, told.reason) == ("unchanged", (), None)


def test_a_lost_conflict_is_told_in_the_result_and_recorded() -> None:
    stored = link({"NAME": "a"}, {"name": "a"})
    step = patched(command({"name": "b"}, conflict={"*": "hub"}), stored, present({"name": "c"}))
    assert step.clashes == (Clash("name", "a", "b", "c", "present"),)
    told = result(step, concluded(step, None), None)
    assert (told.outcome, told.reason) == ("conflict", "both sides changed name; the target's values stay")
    assert conflicts(step) == [
        Conflict(
            pipeline="out",
            source=SOURCE,
            target=TARGET,
            field="name",
            agreed="a",
            incoming="b",
            present="c",
            decided="present",
            version="2",
            source_time="2026-01-01T10:00:00Z",
            target_time="2026-01-01T09:00:00Z",
            inputs=("NAME",),
        )
    ]


def test_a_won_conflict_is_recorded_too_and_the_record_counts_as_written() -> None:
    step = patched(command({"name": "b"}), link({"NAME": "a"}, {"name": "a"}), present({"name": "c"}))
    assert [each.decided for each in conflicts(step)] == ["incoming"]
    saved = Saved("c1", False, "8")
    told = result(step, concluded(step, saved), saved)
    assert (told.outcome, told.reason) == ("written", None)
    assert conflicts(created(command({"name": "a"}))) == []


def test_a_command_that_ends_without_a_write_says_why() -> None:
    told = settled(command({}), "skipped", "the record is not linked", None)
    assert (told.outcome, told.reason, told.target, told.written) == ("skipped", "the record is not linked", None, ())
