"""A held record that goes on without its parent: what is written, and what becomes of it when the parent comes."""

from __future__ import annotations

from typing import Any

import pytest

from services.mapper.join import HELD
from syncline.config.model import Config
from syncline.contracts.ref import Object, Ref
from syncline.oncall.held import Held, Refused, parents, released
from syncline.timeline.held import Slot, content, held_now, steps
from tests.unit.timeline.world import Message
from tests.unit.writer.world import Fetched, World, config

CONTACT = Ref("sf", "Contact", "Contact0")


def allowing(without: str) -> Config:
    given = config()
    contacts = given.pipelines["contacts"]
    assert contacts.parent
    parent = contacts.parent.model_copy(update={"without": without})
    changed = {**given.pipelines, "contacts": contacts.model_copy(update={"parent": parent})}
    return given.model_copy(update={"pipelines": changed})


def holding(world: World) -> list[Held]:
    """Read from the rows that the mapper itself wrote."""
    rows = [
        Message("held", 0, at, 0, key, value) for at, (key, value) in enumerate(sorted(world.tables.rows[HELD].items()))
    ]
    places = {f"held/0/{row.offset}": row for row in rows}
    return [Held(step, *content(places[step.where])) for step in held_now(steps(rows))]


def orphan(without: str = "hold", **fields: Any) -> World:
    """A Contact whose Account cannot be read."""
    world = World(allowing(without))
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": "Account0", **fields})
    world.settle()
    assert world.hub.live("Contact") == []
    return world


def release(world: World) -> None:
    [held] = holding(world)
    assert held.affinity == "sf/Account/Account0"
    world.commands.append(Fetched(released(held, world.configured).encode()))


@pytest.mark.parametrize("without", ["hold", "write"])
def test_a_released_record_is_written_without_its_parent_and_joined_when_it_comes(without: str) -> None:
    world = orphan(without)
    release(world)
    world.settle()
    [id] = world.hub.live("Contact")
    row = world.hub.records["customer", id].values
    assert (row["last_name"], row.get("company_id")) == ("Ng", None)
    assert world.sf.create("Account", {"Name": "Acme"}) == "Account0"
    world.settle()
    assert world.hub.live("Contact") == [id]
    assert world.hub.records["customer", id].values["company_id"] == world.hub.live("Account")[0]
    assert not world.tables.rows[HELD]
    assert world.sf.records["Contact", CONTACT.id].values["AccountId"] == "Account0"
    assert world.letters == []


def test_released_twice_is_written_once() -> None:
    world = orphan()
    release(world)
    release(world)
    world.settle()
    release(world)
    world.settle()
    assert len(world.hub.live("Contact")) == 1


def test_a_later_change_waits_again_and_goes_with_the_parent() -> None:
    world = orphan()
    release(world)
    world.settle()
    world.sf.save("Contact", CONTACT.id, {"LastName": "Ngata"})
    world.settle()
    [id] = world.hub.live("Contact")
    assert world.hub.records["customer", id].values["last_name"] == "Ng"
    world.sf.create("Account", {"Name": "Acme"})
    world.settle()
    row = world.hub.records["customer", id].values
    assert (row["last_name"], row["company_id"]) == ("Ngata", world.hub.live("Account")[0])


def test_another_parent_that_the_target_gives_it_meanwhile_is_a_conflict_and_no_silent_loss() -> None:
    """The two never agreed on a parent, though the source names one."""
    world = orphan(AccountId="AccountX")
    [held] = holding(world)
    world.commands.append(Fetched(released(held, world.configured).encode()))
    world.settle()
    [id] = world.hub.live("Contact")
    company = world.hub.create("Account", {"name": "Beta"})
    world.settle()
    world.hub.save("customer", id, {"company_id": company})
    world.settle()
    assert world.sf.records["Contact", CONTACT.id].values["AccountId"] == world.sf.live("Account")[0]
    assert [(row.field, row.present) for row in world.conflicts.rows] == [("AccountId", "AccountX")]


def test_a_pipeline_that_skips_orphans_refuses_and_says_what_to_change() -> None:
    world = orphan("skip")
    [held] = holding(world)
    with pytest.raises(Refused, match=r"set it to `hold` or `write`.*held fetch-parent sf/Contact/Contact0"):
        released(held, world.configured)


def test_a_pipeline_that_is_gone_refuses() -> None:
    world = orphan()
    [held] = holding(world)
    without = {name: each for name, each in world.configured.pipelines.items() if name != "contacts"}
    with pytest.raises(Refused, match="no pipeline contacts"):
        released(held, world.configured.model_copy(update={"pipelines": without}))


def test_a_record_that_only_waits_for_a_reference_is_written_already() -> None:
    from tests.unit.timeline import world as other

    child = other.mapped(creates=False)
    row = other.held_row(child)
    [step] = held_now(steps([row]))
    with pytest.raises(Refused, match="written without company_id already"):
        released(Held(step, *content(row)), other.config())


def test_parents_are_asked_for_once_and_those_that_cannot_be_are_named() -> None:
    account = Ref("sf", "Account", "A")
    child = Slot(account, CONTACT, "contacts", "company_id")
    asked, refused = parents(
        [
            child,
            child._replace(child=CONTACT._replace(id="other")),
            child._replace(on=account._replace(id="-")),
            child._replace(on=Ref(*Object("sf", "Lead"), "L")),
        ],
        config(),
    )
    assert asked == [account]
    assert [why.split(":")[0] for why in refused] == [
        "sf/Contact/Contact0 names no sf/Account",
        "no pipeline reads sf/Lead",
    ]
