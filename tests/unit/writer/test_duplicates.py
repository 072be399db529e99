"""Two records for one person: a match links, a doubt is told to a person, and nobody ends up with two counterparts.

Beside it what happens when both sides move a person at once, and when a part of an address is changed or emptied.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.writer.sinks import Write, Written
from syncline.contracts.errors import DuplicateDetected, Transient
from syncline.contracts.ref import Fields, Value
from tests.unit.writer.world import PARENT, MemorySystem, World, config


class Wary(MemorySystem):
    """As Salesforce with a duplicate rule: a new record with the phone of others is refused, and they are named."""

    def _write(self, name: str, write: Write) -> Written:
        alike = [
            id
            for (each, id), row in self.records.items()
            if each == name and not row.gone and row.values["Phone"] == write.values.get("Phone")
        ]
        if write.id is None and alike:
            remedy = "Merge them."
            return DuplicateDetected(
                "Use one of these", code="DUPLICATES_DETECTED", fields=(), remedy=remedy, matches=tuple(alike)
            )
        return super()._write(name, write)


def wary(accounts: int) -> World:
    """So many Accounts that share a phone, and that the hub does not know yet."""
    world = World(config("hub"))
    world.sf.__class__ = Wary
    for n in range(accounts):
        world.sf.create("Account", {"Name": f"Acme {n}", "Phone": "5"})
    return world


def flow(world: World, name: str) -> None:
    world.clock.second += 5
    world.capture(name)
    world.map(name)
    while world.commands:
        world.write(len(world.commands))


def linked(world: World) -> dict[str, str]:
    """Of every pair that has not ended, Salesforce's id to the hub's."""
    found: dict[str, str] = {}
    for link in world.links.stored.values():
        hub, sf = sorted((link.source.ref, link.target.ref))
        if not link.ended:
            assert sf.id not in found
            assert hub.id not in found.values()
            found[sf.id] = hub.id
    return found


def test_the_one_free_record_that_salesforce_proposes_is_linked() -> None:
    world = wary(1)
    world.hub.create("Account", {"name": "ACME Inc", "phone": "5", "tier": "gold"})
    flow(world, "hub")
    assert linked(world) == {"Account0": "company0"}
    world.settle()
    assert (len(world.sf.live("Account")), len(world.hub.live("Account"))) == (1, 1)
    assert world.letters == []
    sf = world.sf.records["Account", "Account0"].values
    assert (sf["Name"], sf["Tier"], sf["Hub"]) == ("ACME Inc", "gold", "company0")


@pytest.mark.parametrize("accounts", [1, 2])
def test_a_proposal_that_is_taken_or_not_the_only_one_is_a_dead_letter(accounts: int) -> None:
    world = wary(accounts)
    if accounts == 1:
        world.settle()  # it is the counterpart of another company by now
    before = linked(world)
    company = world.hub.create("Account", {"name": "ACME Inc", "phone": "5"})
    flow(world, "hub")
    assert linked(world) == before
    [letter] = world.letters
    assert letter.position == "commands/0/0", "where a retry sends it"
    assert (letter.code, letter.ref) == ("DUPLICATES_DETECTED", f"hub/company/{company}")
    assert letter.remedy
    assert world.results[-1].outcome == "rejected"
    assert len(world.sf.live("Account")) == accounts


@pytest.mark.parametrize("order", [["sf", "hub"], ["hub", "sf"], ["hub", "hub", "sf"], []])
@pytest.mark.parametrize("contacts", [0, 1, 2])
@pytest.mark.parametrize("batched", [False, True])
def test_two_customers_that_share_an_email_never_end_on_one_contact(
    contacts: int, order: list[str], batched: bool
) -> None:
    world = World(config("hub"))
    company = world.hub.create("Account", {"name": "Acme"})
    world.settle()
    [account] = world.sf.live("Account")
    for n in range(contacts):
        world.sf.create("Contact", {"LastName": f"Ng {n}", "Email": "ng@x", "AccountId": account})
    customers = [
        world.hub.create("Contact", {"last_name": f"Ng {n}", "email": email, "company_id": company})
        for n, email in enumerate(["ng@x", " NG@X"])
    ]
    for name in order:
        world.clock.second += 5
        world.capture(name)
        world.map(name)
        while world.commands and not batched:
            world.write(1)
    world.settle()
    pairs = linked(world)  # fails when anybody has two
    told = {letter.ref for letter in world.letters}
    alone = [each for each in customers if each not in pairs.values()]
    assert {f"hub/customer/{each}" for each in alone} <= told
    assert len(world.sf.live("Contact")) >= len([each for each in customers if each in pairs.values()])
    if contacts < 2:  # nobody need be in doubt: one takes the Contact that there is, the other gets a new one
        assert len(pairs) - 1 == 2
        assert len(world.sf.live("Contact")) == 2


def test_a_record_whose_pair_was_unlinked_is_not_taken_by_the_next_one() -> None:
    world = World(config("hub", on_delete="unlink"))
    account = world.sf.create("Account", {"Name": "Acme"})
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": account})
    world.settle()
    world.sf.remove("Contact", "Contact0")
    world.settle()
    # Without the mark nothing but the ended link tells whose it was.
    world.hub.save("customer", "customer0", {"sf_id": None})
    world.settle()
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": account})
    world.settle()
    assert linked(world) == {"Account0": "company0", "Contact1": "customer1"}


def test_what_a_killed_pass_has_freed_is_still_tried_again() -> None:
    """The company's deletion comes first and is blocked by its customer, whose deletion is the last thing the writer
    does before it dies."""
    world = World(config(on_delete="delete"))
    account = world.sf.create("Account", {"Name": "Acme"})
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": account})
    world.settle()
    world.sf.remove("Account", account)
    world.clock.second += 5
    world.capture("sf")
    world.map("sf")
    world.commands.sort(key=lambda each: b'"pipeline":"contacts"' in (each.value or b""))
    world.write(1)
    assert len(world.deletions.kept) == 1
    publish = world.publish

    async def broken(messages: Any) -> None:
        raise Transient("the broker is gone")

    world.publish = broken  # type: ignore[method-assign]
    world.write(1)
    world.publish = publish  # type: ignore[method-assign]
    assert world.hub.live("Contact") == []
    assert len(world.commands) == 1
    world.settle()
    assert world.hub.live("Account") == []


@pytest.mark.parametrize("first", ["sf", "hub"])
@pytest.mark.parametrize("policy", ["sf", "hub", "latest"])
def test_a_contact_and_its_customer_that_move_at_once_end_with_the_same_parent(policy: str, first: str) -> None:
    world = World(config(policy))
    accounts = [world.sf.create("Account", {"Name": f"Acme {n}"}) for n in range(3)]
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": accounts[0]})
    world.settle()
    companies = [linked(world)[each] for each in accounts]
    moves = {"sf": ("Contact", "Contact0", accounts[1]), "hub": ("customer", "customer0", companies[2])}
    for name in (first, *moves.keys() - {first}):
        kind, id, parent = moves[name]
        world.system(name).save(kind, id, {PARENT[name]: parent})
        world.clock.second += 10
    for name in (first, *moves.keys() - {first}):  # both are on their way before either arrives
        world.capture(name)
        world.map(name)
    world.settle()
    ends = (
        world.sf.records["Contact", "Contact0"].values["AccountId"],
        world.hub.records["customer", "customer0"].values["company_id"],
    )
    wins = {"sf": 1, "hub": 2, "latest": 2 if first == "sf" else 1}[policy]
    assert ends == (accounts[wins], companies[wins])
    assert {each.field for each in world.conflicts.rows} <= set(PARENT.values())
    assert world.conflicts.rows
    assert world.letters == []


ADDRESS = {"street": "BillingStreet", "city": "BillingCity"}


def addressed(on_empty: str) -> World:
    """Parts of an address are fields like any other: `billing.street` in the hub, where they are a row of their own."""
    fields: dict[str, Any] = {
        "accounts": {"name": "Name"} | {f"billing.{part}": field(each, on_empty) for part, each in ADDRESS.items()},
        "companies": {"Name": "name"} | {each: field(f"billing.{part}", on_empty) for part, each in ADDRESS.items()},
    }
    world = World(config("sf", **fields))
    world.sf.create("Account", {"Name": "Acme", "BillingStreet": "Mill Lane 1", "BillingCity": "Leeds"})
    world.settle()
    return world


def field(name: str, on_empty: str) -> Fields:
    return {"from": name, "on_empty": on_empty}


def address(world: World, name: str) -> list[Value]:
    if name == "sf":
        values = world.sf.records["Account", "Account0"].values
        return [values[each] for each in ADDRESS.values()]
    values = world.hub.records["company", "company0"].values
    return [values[f"billing.{part}"] for part in ADDRESS]


def edit(world: World, name: str, **parts: Value) -> None:
    named = {ADDRESS[part] if name == "sf" else f"billing.{part}": value for part, value in parts.items()}
    id = world.system(name).live("Account")[0]
    world.system(name).save(world.system(name).object("Account"), id, named)
    world.settle()


@pytest.mark.parametrize(("name", "other"), [("sf", "hub"), ("hub", "sf")])
@pytest.mark.parametrize("on_empty", ["keep", "clear"])
def test_a_part_of_an_address_that_changes_leaves_the_others_alone(on_empty: str, name: str, other: str) -> None:
    world = addressed(on_empty)
    edit(world, name, street="Quay 2")
    assert address(world, other) == ["Quay 2", "Leeds"]
    edit(world, other, city="Bern")
    assert address(world, name) == address(world, other) == ["Quay 2", "Bern"]
    assert world.conflicts.rows == []


@pytest.mark.parametrize(("name", "other"), [("sf", "hub"), ("hub", "sf")])
def test_an_address_that_is_removed_stays_on_the_other_side_unless_empty_values_clear(name: str, other: str) -> None:
    kept, cleared = addressed("keep"), addressed("clear")
    for world in (kept, cleared):
        edit(world, name, street=None, city=None)
    assert address(kept, other) == ["Mill Lane 1", "Leeds"]
    assert address(kept, name) == [None, None]
    assert address(cleared, other) == [None, None]
    edit(kept, other, street="Quay 2")
    assert address(kept, name) == ["Quay 2", None]
    edit(cleared, name, street="Quay 2")
    assert address(cleared, other) == ["Quay 2", None]
