"""The writes of a replay, and all that comes of them, are exactly those that were planned, one by one; planning changes
nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.planner.run import Plan
from services.planner.telling import lines, summary
from syncline.config.fields import Condition
from syncline.config.model import Config
from tests.unit.planner.world import Past, Planned
from tests.unit.writer.test_two_sides import play, steps
from tests.unit.writer.world import config

BEFORE: dict[str, Any] = {
    "accounts": {"name": "Name", "phone": {"from": "Phone", "on_empty": "clear"}},
    "companies": {"Name": "name", "Phone": {"from": "phone", "on_empty": "clear"}},
}
AFTER: dict[str, Any] = {
    "accounts": {"name": {"from": "Name", "transform": ["upper"]}, "phone": "Phone", "tier": "Tier"},
    "companies": {"Name": "name", "Phone": "phone", "Tier": "tier"},
    "contacts": {"last_name": "LastName", "email": {"from": "Email", "transform": ["upper"]}},
}

WAITING: list[Any] = [("create", "sf", "Acme", "p"), ("hire", "sf", 2, "new@x"), ("flow", "sf", True)]
"""An Account that is left out so far, and its Contact."""


def before(conflict: str, on_delete: str) -> Config:
    """Accounts that are not gold stay where they are, and their Contacts wait for them."""
    whole = config(conflict, on_delete, **BEFORE)
    narrow = whole.pipelines["accounts"].model_copy(update={"where": {"Tier": Condition(eq="gold")}})
    return whole.model_copy(update={"pipelines": {**whole.pipelines, "accounts": narrow}})


def check(history: list[Any], conflict: str, on_delete: str, at_once: int = 2_000) -> Planned:
    world = Past(before(conflict, "ignore"))
    play(world, history)
    world.rest()
    world.hide()
    new = config(conflict, on_delete, **AFTER)
    state = world.state()
    planned = Planned(world, new)
    try:
        assert world.state() == state
        results = len(world.results)
        world.use(new)
        world.replay(at_once)
        done = Counter(write for system in world.watched for write in system.wrote)
        refused = world.refused(results)
        wanted = Counter(write for record, write in planned.writes(world) if str(record) not in refused)
        assert done == wanted
        return planned
    finally:
        planned.close()


@pytest.mark.parametrize(("conflict", "on_delete"), [("sf", "ignore"), ("hub", "unlink"), ("latest", "delete")])
def test_what_is_written_is_what_was_planned(conflict: str, on_delete: str) -> None:
    @settings(max_examples=60)
    @given(steps, st.sampled_from([1, 3, 2_000]))
    def search(history: list[Any], at_once: int) -> None:
        # What a target does by itself no plan foresees: Salesforce deletes an Account's Contacts with it.
        cascades = [step for step in history if step[:3] == ("delete", "hub", "Account") and on_delete == "delete"]
        check([*WAITING, *(step for step in history if step not in cascades)], conflict, on_delete, at_once)

    search()


@pytest.mark.parametrize("on_delete", ["ignore", "unlink", "delete"])
def test_a_child_goes_with_the_parent_that_would_be_made(on_delete: str) -> None:
    company, customer = [each for each in check(WAITING, "sf", on_delete).entries if each.op != "update"]
    assert (company.target.id, customer.target.id) == ("new-Account2", "new-Contact2")
    values = {each.name: (each.new, each.why) for each in customer.fields}
    assert values["company_id"] == ("new-Account2", "new record")
    assert values["sf_id"] == ("Contact2", "mark")


def test_what_waited_no_longer_waits_in_the_plan_either() -> None:
    """The Contact moves from an Account that was left out to one that is synced."""
    moved = check([*WAITING, ("move", "sf", 2, 0), ("flow", "sf", True)], "sf", "ignore")
    assert [each.record.id for each in moved.entries if each.op == "create"] == ["Account2"]


def test_a_deletion_that_was_ignored_is_planned_once_the_mapping_asks_for_it() -> None:
    deleted = [("delete", "sf", "Contact", 0), ("flow", "sf", True)]
    [gone] = [each for each in check(deleted, "sf", "delete").entries if each.op == "delete"]
    assert (str(gone.record), {each.why for each in gone.fields}) == ("sf/Contact/Contact0", {"deleted"})


def test_what_the_writer_would_refuse_is_told_with_its_remedy_and_what_waits_for_it_as_held() -> None:
    """Two companies of one name, and nobody knows which of them the Account is."""
    two = [("create", "hub", "ACME", None), ("create", "hub", "ACME", None)]
    refused = check([*WAITING, *two], "sf", "ignore")
    plan = Plan(datetime.now(UTC), refused.flow, {}, [])
    told = summary(plan)
    [letter] = told["dead_letters"]
    assert (letter["code"], letter["count"], letter["example"]["record"]) == (
        "AMBIGUOUS_MATCH",
        1,
        "sf/Account/Account2",
    )
    assert "Merge the duplicates" in letter["example"]["remedy"]
    assert (told["pipelines"]["accounts"]["rejected"], told["pipelines"]["contacts"]["held"]) == (1, 1)
    first = "sf/Account/Account2 matches 2 records of hub/company: company2, company3"
    assert f"dead letters  1 AMBIGUOUS_MATCH by the writer, the first: {first}" in list(lines(plan))


def test_each_field_says_why_it_would_be_written() -> None:
    entries = check(
        [*WAITING, ("edit", "sf", 1, ("Account", "Tier"), "x"), ("flow", "sf", True)], "sf", "ignore"
    ).entries
    found = {(entry.target.id, each.name): each.why for entry in entries for each in entry.fields}
    assert found["company0", "tier"] == found["company1", "tier"] == "newly mapped"
    assert (found["new-Account2", "name"], found["new-Account2", "sf_id"]) == ("new record", "mark")
