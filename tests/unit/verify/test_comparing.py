"""When two records are equal, field by field, and that equal checksums never hide a difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncline.contracts.ref import Fields
from tests.unit.verify.world import CONTACT, CUSTOMER, OURS, THEIRS, TO_HUB, World


def fields(world: World) -> list[tuple[str, str]]:
    return [(each.pipeline, each.field) for each in world.mismatches]


def test_a_pair_that_holds_what_was_agreed_is_equal_and_says_the_same_on_both_sides() -> None:
    world = World()
    assert world.mismatches == []
    assert len(set(world.stated)) == 1


@pytest.mark.parametrize(
    ("contact", "customer"),
    [
        ({"Name": "Ada"}, {"name": "Ada"}),
        ({"Name": "Ada"}, {"name": "Ada "}),  # Salesforce trims
        ({"Email": "A@X.EX"}, {"email": "a@x.ex"}),
        ({"Score": 1}, {"score": 1.0}),
        ({"Seen": "2026-01-02T03:04:05.000+0000"}, {"seen": "2026-01-02T03:04:05.000Z"}),
        ({"Seen": "2026-01-02T03:04:05.000+0000"}, {"seen": "2026-01-02T03:04:05.678Z"}),  # whole seconds over there
        ({"Member": True}, {"member": True}),
        ({"Name": None}, {"name": ""}),
        ({"Phone": None}, {"phone": None}),
        ({"Note": None}, {"note": "the hub's own"}),  # an empty value changes nothing, and nobody reads the note
        ({}, {"web": " whatever "}),  # a destination field is the target's own
        ({"ReportsToId": None}, {"manager_id": None}),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_values_that_map_to_each_other_either_way_are_equal(contact: Fields, customer: Fields, told: bool) -> None:
    world = World()
    world.contact |= contact
    world.customer |= customer
    if told:
        world.agree()
    assert fields(world) == []


@pytest.mark.parametrize(
    ("contact", "customer", "found"),
    [
        ({"Name": "Ada"}, {}, [("contact-to-customer", "name")]),
        ({}, {"name": "Ada"}, [("customer-to-contact", "Name")]),
        ({"Member": True}, {}, [("contact-to-customer", "member")]),
        ({"Score": 2}, {"score": 3}, [("contact-to-customer", "score")]),
        ({"Note": "new"}, {"note": "old"}, [("contact-to-customer", "note")]),
        ({"Phone": None}, {"phone": "1"}, [("customer-to-contact", "Phone")]),
        ({}, {"tier": "gold"}, [("contact-to-customer", "tier")]),
        ({"AccountId": "acc"}, {"company_id": "another"}, [("customer-to-contact", "AccountId")]),
        ({"AccountId": "unlinked"}, {}, [("contact-to-customer", "company_id")]),
        ({"ReportsToId": "boss"}, {}, [("contact-to-customer", "manager_id")]),
    ],
)
def test_other_values_differ_and_are_told_once(contact: Fields, customer: Fields, found: list[Any]) -> None:
    world = World()
    world.contact |= contact
    world.customer |= customer
    assert fields(world) == found
    assert len(set(world.stated)) == 2


def test_after_a_lossy_transform_both_sides_rightly_differ() -> None:
    world = World()
    world.contact |= {"Name": "Ada"}
    world.customer |= {"name": "Ng"}
    assert fields(world) != []
    world.agree()
    assert fields(world) == []
    assert len(set(world.stated)) == 1
    world.more["Contact"] = {"contested": ("Name",)}
    assert fields(world) != []
    assert len(set(world.stated)) == 2


def test_who_drifted_is_told() -> None:
    world = World()
    world.contact |= {"Name": "Ada", "Score": 1}
    world.customer |= {"phone": "1", "score": 2}
    drifted = {each.field: each.drifted for each in world.mismatches}
    assert drifted == {"name": (THEIRS,), "Phone": (OURS,), "score": (THEIRS, OURS)}
    assert not any(each.never or each.disputed for each in world.mismatches)


def test_a_field_that_was_mapped_later_was_never_written() -> None:
    world = World()
    world.contact |= {"Score": 7}
    world.never_met(CONTACT, "Score")
    world.never_met(CUSTOMER, "score")
    assert [(each.field, each.never, each.drifted) for each in world.mismatches] == [("score", True, ())]
    assert len(set(world.stated)) == 2
    world.customer |= {"score": 7}
    assert world.mismatches == []


def test_a_static_that_was_added_later_was_never_written() -> None:
    world = World()
    world.customer |= {"tier": None}
    world.never_met(CUSTOMER, "tier")
    assert [(each.field, each.never) for each in world.mismatches] == [("tier", True)]
    assert len(set(world.stated)) == 2


def test_a_record_that_its_filter_leaves_out_may_hold_what_it_likes() -> None:
    world = World()
    world.contact |= {"Type": "Robot", "Name": "R2"}
    assert fields(world) == []
    world.customer |= {"name": "D2"}  # but what the hub changes still goes there
    assert fields(world) == [("customer-to-contact", "Name")]


def test_a_reference_that_was_taken_away_is_left_alone_over_there() -> None:
    world = World()
    world.agree({"ReportsToId": "boss"}, {"manager_id": "chief"})
    world.contact |= {"ReportsToId": None}
    assert fields(world) == []


def test_a_mark_that_names_somebody_else_is_seen() -> None:
    world = World()
    world.customer |= {"salesforce_id": "c"}
    assert len(set(world.stated)) == 1
    world.customer |= {"salesforce_id": "x"}
    assert world.pairing.misnamed(world.rows[CUSTOMER], THEIRS) == "x"
    assert len(set(world.stated)) == 2


def test_a_target_that_is_never_read_is_compared_where_anything_feeds_it() -> None:
    world = World(TO_HUB)
    for kind, name in ((CONTACT, "Note"), (CUSTOMER, "note")):
        world.never_met(kind, name)
    world.customer |= {"note": "its own"}
    assert len(set(world.stated)) == 1
    world.contact |= {"Note": "x"}
    assert len(set(world.stated)) == 2


SMALL = {
    "Name": "name",
    "Email": "email",
    "Phone": "phone",
    "Score": "score",
    "Note": "note",
    "ReportsToId": "manager_id",
    "AccountId": "company_id",
    "Type": "tier",
}
value = st.sampled_from([None, "", "a", "A ", "Person", "standard", "acc", "com"])
side = st.dictionaries(st.sampled_from([*SMALL]), value)
unmet = st.frozensets(st.sampled_from([*SMALL]))


@given(st.tuples(side, side), st.tuples(side, side), st.tuples(unmet, unmet))
@example(({}, {}), ({"Note": "a"}, {}), (frozenset({"Note"}), frozenset()))
@example(({}, {}), ({}, {"Phone": "a"}), (frozenset({"Phone"}), frozenset({"Phone"})))
@settings(max_examples=400)
def test_equal_checksums_never_hide_a_difference(
    agreed: tuple[Fields, Fields], held: tuple[Fields, Fields], never: tuple[frozenset[str], frozenset[str]]
) -> None:
    for world in (World(), World(TO_HUB)):
        world.agree(agreed[0], {SMALL[name]: value for name, value in agreed[1].items()})
        world.never_met(CONTACT, *never[0])
        world.never_met(CUSTOMER, *(SMALL[name] for name in never[1]))
        world.contact |= held[0]
        world.customer |= {SMALL[name]: value for name, value in held[1].items()}
        if len(set(world.stated)) == 1:
            assert world.mismatches == []


COMPUTED = TO_HUB.replace("note: Note", "note: {from: [Name, Email], transform: [{concat: ' '}]}").replace(
    "score: Score", "score: {from: Note, transform: [number]}"
)


def test_a_field_made_of_several_is_compared_with_all_of_them() -> None:
    world = World(COMPUTED)
    world.contact |= {"Email": "a@x.ex"}
    world.customer |= {"email": "a@x.ex", "note": "Ng a@x.ex"}
    assert fields(world) == []
    world.contact |= {"Name": "Ada"}
    assert fields(world) == [("contact-to-customer", "name"), ("contact-to-customer", "note")]
    assert {each.drifted for each in world.mismatches} == {(THEIRS,), (THEIRS, OURS)}


def test_what_cannot_be_converted_hides_no_difference_of_its_neighbours() -> None:
    world = World(COMPUTED)
    world.agree({"Note": "many"})
    assert fields(world) == []
    assert len(set(world.stated)) == 1
    world.contact |= {"Name": "Ada"}
    assert ("contact-to-customer", "name") in fields(world)
    assert len(set(world.stated)) == 2
