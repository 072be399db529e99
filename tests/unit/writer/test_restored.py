"""Records that come back, and records that go after others have left them."""

from __future__ import annotations

from syncline.contracts.ref import Fields
from tests.unit.writer.world import World, config


def test_an_account_and_its_contact_that_are_restored_together_are_made_again() -> None:
    """The echo of a deletion that was carried out must not tell the mapper that the pair is there."""
    world = World(config(on_delete="delete"))
    account = world.sf.create("Account", {"Name": "Acme"})
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": account})
    world.settle()
    world.sf.remove("Account", account)
    world.settle()
    assert world.tables.rows["synced"] == {}
    world.sf.save("Contact", "Contact0", {})
    world.sf.save("Account", account, {})
    world.settle()
    assert world.letters == []
    assert (len(world.hub.live("Account")), len(world.hub.live("Contact"))) == (1, 1)


def test_a_merge_whose_deletion_overtakes_the_moves_still_deletes_the_loser() -> None:
    world = World(config("hub", on_delete="delete"))
    keep, lose = (world.sf.create("Account", {"Name": name}) for name in ("Acme", "Beta"))
    world.sf.create("Contact", {"LastName": "Ng", "Email": "ng@x", "AccountId": lose})
    world.settle()
    world.sf.save("Contact", "Contact0", {"AccountId": keep})
    world.sf.remove("Account", lose)
    world.clock.second += 5
    world.capture("sf")
    world.map("sf")
    world.commands.sort(key=lambda each: b'"op":"delete"' not in (each.value or b""))
    while world.commands:
        world.write(1)
    world.settle()
    assert world.hub.live("Account") == ["company0"]


def test_a_restored_record_brings_back_what_its_deletion_wrote_over() -> None:
    deactivate: Fields = {"tier": "gone"}
    world = World(config("sf", on_delete={"deactivate": deactivate}))
    account = world.sf.create("Account", {"Name": "Acme", "Tier": "gold"})
    world.settle()
    world.sf.remove("Account", account)
    world.settle()
    assert world.hub.records["company", "company0"].values["tier"] == "gone"
    world.sf.save("Account", account, {})
    world.settle()
    assert world.hub.records["company", "company0"].values["tier"] == "gold"
