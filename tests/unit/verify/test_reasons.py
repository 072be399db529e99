"""Every difference has one reason, and only drift is repaired: by asking for what drifted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from syncline.contracts.conflict import Conflict
from syncline.contracts.ref import Ref
from syncline.state.conflicts import Recorded
from syncline.timeline.held import Slot
from syncline.verify import reasons, repair
from syncline.verify.reasons import Facts, Letter
from syncline.verify.repair import Wanted
from tests.unit.verify.world import ACCOUNT, CONTACT, CUSTOMER, OURS, THEIRS, TO_HUB, World

DOWN = "contact-to-customer"
STAMP = "2026-01-01T00:00:00.000Z"
PARENT = Ref(*ACCOUNT, "acc")


def renamed() -> World:
    world = World()
    world.contact |= {"Name": "Ada"}
    return world


def reason(world: World, facts: Facts | None = None, *, moving: bool = False) -> tuple[str, str]:
    [mismatch] = world.mismatches
    found = reasons.of_field(world.pairing, world.link, mismatch, facts or Facts(), moving=moving)
    return found.reason, found.why


def letters(**more: Any) -> Facts:
    given: dict[str, Any] = {"id": "3/17", "code": "STRING_TOO_LONG", "pipeline": DOWN, "version": None, **more}
    return Facts(letters={THEIRS: [Letter(**given)]})


def held(field: str | None) -> Facts:
    return Facts(held={THEIRS: [Slot(PARENT, THEIRS, DOWN, field)]})


def recorded(**more: Any) -> Facts:
    row: dict[str, Any] = {
        "pipeline": DOWN,
        "source": THEIRS,
        "target": OURS,
        "field": "name",
        "agreed": "Ng",
        "incoming": "Ada",
        "present": "Ng",
        "decided": "present",
        "version": STAMP,
    }
    resolved = more.pop("resolved", None)
    conflict = Conflict(**{**row, **more})
    return Facts(conflicts={(THEIRS, OURS): [Recorded(7, conflict, resolved, datetime(2026, 1, 1, tzinfo=UTC))]})


def test_what_nothing_explains_is_drift_and_names_the_record_that_changed() -> None:
    assert reason(renamed()) == ("drift", f"changed unseen: {THEIRS}")


def test_what_may_be_on_its_way_is_in_flight() -> None:
    assert reason(renamed(), moving=True)[0] == "in flight"


def test_what_was_never_written_under_this_mapping_is_not_mapped() -> None:
    world = renamed()
    world.never_met(CUSTOMER, "name")
    world.agree()
    world.never_met(CUSTOMER, "name")
    assert reason(world)[0] == "not mapped"


@pytest.mark.parametrize(
    ("letter", "counts"),
    [
        ({}, True),
        ({"version": "2026-01-02T00:00:00.000Z"}, True),
        ({"version": STAMP}, False),  # that version was applied since
        ({"pipeline": None}, True),
        ({"pipeline": "customer-to-contact"}, False),
        ({"code": "PARENT_NOT_FOUND"}, False),  # it is there
    ],
)
def test_a_dead_letter_counts_until_something_newer_was_applied(letter: dict[str, Any], counts: bool) -> None:
    found, why = reason(renamed(), letters(**letter), moving=counts)
    assert found == ("rejected" if counts else "drift")
    assert ("syncline dead-letters show 3/17" in why) == counts


@pytest.mark.parametrize(("field", "counts"), [("company_id", True), ("manager_id", False), (None, False)])
def test_who_waits_for_a_parent_waits_with_all_fields_and_who_waits_for_a_reference_with_one(
    field: str | None, counts: bool
) -> None:
    assert reason(renamed(), held(field))[0] == ("held" if counts else "drift")
    world = World()
    world.contact |= {"ReportsToId": "boss"}
    assert reason(world, held(field), moving=True)[0] == "held"


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({}, True),
        ({"field": "email"}, False),
        ({"incoming": "another"}, False),
        ({"present": "another"}, False),
        ({"resolved": "hub"}, False),
    ],
)
def test_a_conflict_that_was_decided_against_the_source_is_the_reason(row: dict[str, Any], counts: bool) -> None:
    found, why = reason(renamed(), recorded(**row))
    assert found == ("conflict" if counts else "drift")
    assert ("conflict 7" in why) == counts


@pytest.mark.parametrize("more", [{"review": ("Name",)}, {"contested": ("Name",)}])
def test_a_disputed_field_is_a_conflict(more: dict[str, Any]) -> None:
    world = renamed()
    world.more["Contact"] = more
    assert reason(world, moving=True)[0] == "conflict"


def test_a_paused_pair_is_a_conflict() -> None:
    world = renamed()
    world.more["paused"] = True
    assert reason(world, letters())[0] == "conflict"


@pytest.mark.parametrize(
    ("facts", "moving", "old", "found"),
    [
        (Facts(), False, False, "drift"),
        (Facts(), False, True, "not mapped"),
        (Facts(), True, True, "in flight"),
        (held("company_id"), True, False, "held"),
        (letters(), True, False, "rejected"),
        (letters(code="PARENT_NOT_FOUND"), False, False, "drift"),
    ],
)
def test_a_record_without_counterpart_has_a_reason(facts: Facts, moving: bool, old: bool, found: str) -> None:
    assert reasons.of_missing(World().pairing, THEIRS, DOWN, facts, moving=moving, old=old).reason == found


def test_a_deletion_that_waits_for_a_person_is_held() -> None:
    world = World()
    for facts, moving, found in (
        (Facts(), False, "drift"),
        (Facts(), True, "in flight"),
        (Facts(consent={OURS: "waits"}), True, "held"),
    ):
        difference = reasons.of_gone(world.pairing, world.link, CUSTOMER, facts, moving=moving)
        assert (difference.reason, difference.source) == (found, OURS)


def wanted(world: World) -> Wanted:
    return repair.of_pair(world.pairing, world.pair, world.mismatches)


def test_the_record_that_drifted_is_asked_for_with_the_version_it_is_known_by() -> None:
    assert wanted(renamed()) == Wanted({THEIRS: STAMP})
    world = World()
    world.customer |= {"name": "Ada"}
    assert wanted(world) == Wanted({OURS: "5"})
    world.contact |= {"Name": "Bo"}
    assert wanted(world) == Wanted({OURS: "5", THEIRS: STAMP})


def test_a_target_that_nobody_reads_is_offered_its_sources_value_again() -> None:
    world = World(TO_HUB)
    world.customer |= {"name": "Ada", "tier": "gold"}
    found = wanted(world)
    assert found.asked == {THEIRS: STAMP}
    [link] = found.forgotten.values()
    assert {*world.knows[CUSTOMER]} - {*link.source.known} == {"name", "tier"}
    assert link == replace(world.link, source=link.source)


def test_a_source_that_drifted_too_is_asked_for_and_nothing_is_forgotten() -> None:
    world = World(TO_HUB)
    world.contact |= {"Name": "Bo"}
    world.customer |= {"name": "Ada"}
    assert wanted(world) == Wanted({THEIRS: STAMP})


def test_who_is_gone_is_asked_for_as_known_and_who_was_never_met_is_not() -> None:
    world = World()
    assert repair.of_gone(world.link, CONTACT) == Wanted({THEIRS: STAMP})
    assert repair.of_missing(OURS) == Wanted({OURS: None})
