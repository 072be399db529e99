"""What is deleted on one side: gone, marked or let go on the other, as the pipeline says, and never by mistake."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from syncline.local.demo.data import Data
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import account, company, contact, customer, hands, pipelines, policies, stamp

LIMIT, MANY = 3, 8


async def test_deletions_go_to_the_other_side_with_their_children_and_a_mass_of_them_waits(
    whole: Whole, tmp_path: Path
) -> None:
    """Accounts: 1 is deleted with its two Contacts, 2 too and comes back, 4 is merged into 3, 5 loses a Contact, 6 is
    deleted while its Contact is held. Companies: 1 is deleted with its customers, 2 loses one and then many."""
    given = pipelines(
        tmp_path,
        policies(
            account_to_company="on_delete: delete",
            company_to_account="on_delete: delete",
            contact_to_customer="on_delete: delete",
            customer_to_contact=f"on_delete: delete\n    delete_limit: {LIMIT}",
        ),
    )
    late = stamp(days_ago=30)  # outside the first look-back: asked for when its Contact comes
    accounts = [*(account(n) for n in range(1, 6)), account(6, **late)]
    contacts = [contact(n, of) for n, of in enumerate((1, 1, 2, 3, 4, 4, 5, 5, 6), 1)]
    closed, mass = [customer(n, 1) for n in (1, 2)], [customer(n, 2) for n in range(10, 10 + MANY)]
    single = customer(3, 2)
    hub = {"companies": [company(1), company(2)], "customers": [*closed, single, *mass]}
    async with whole(pipelines=given) as told, hands(told) as people:
        seen = told.running.seen
        await told.fill(Data({"Account": accounts, "Contact": contacts}, hub))
        await asyncio.gather(told.system.start("poller"), told.system.start("mapper"))
        everybody = len(contacts) + len(hub["customers"])
        await told.until(lambda: len(seen.held) == everybody and seen.asked >= 1, "everybody to be held")
        await people.delete(accounts[5]["Id"])
        await told.until(lambda: len(seen.held) == everybody - 1, "the deleted Contact to be held no longer")
        await told.system.start("writer")
        assert (await told.settled()).equal
        assert await people.find(COMPANY, "A-6") is None
        assert await people.find(CUSTOMER, "c9@mail.example") is None

        moved, kept = await people.id(CUSTOMER, "c5@mail.example"), await people.id(COMPANY, "A-3")
        await people.update(CONTACT, *({"Id": each["Id"], "AccountId": accounts[2]["Id"]} for each in contacts[4:6]))
        await people.delete(*(accounts[n]["Id"] for n in (0, 1, 3)), contacts[6]["Id"])
        await people.remove((CUSTOMER, [*closed, single]), (COMPANY, hub["companies"][:1]))
        await people.sees(
            *((COMPANY, f"A-{n}", None) for n in (1, 2)),
            *((CUSTOMER, f"c{n}@mail.example", None) for n in (1, 2, 3, 7)),
            *((CONTACT, each["email"], None) for each in (*closed, single)),
            (ACCOUNT, "H-1", None),
        )
        await people.sees((CUSTOMER, "c5@mail.example", {"Id": moved, "company_id": kept}))

        # The other side's record was deleted, so that the restored one gets a new one.
        await people.load(ACCOUNT, account(2, Name="Account 2, again"))
        await people.remove((CUSTOMER, mass))
        await people.sees((COMPANY, "A-2", {"name": "Account 2, again"}))
        await people.load(CONTACT, contact(3, 2))
        await people.sees((CUSTOMER, "c3@mail.example", {"company_id": await people.id(COMPANY, "A-2")}))
        waits = "more deletions than delete_limit in an hour: see `syncline deletions list`"
        await told.until(lambda: len(seen.skipped.get(waits, ())) == MANY, "all of them to wait")
        spared, *others = mass
        await people.insert(CUSTOMER, {**spared, "title": "restored"})
        await people.sees((CONTACT, spared["email"], {"Title": "restored"}))
        code, out, err = await syncline(told, "deletions", "list", "--json")
        assert code == 0, err
        [stopped] = json.loads(out)["stopped"]
        assert (stopped["pipeline"], stopped["deletions"]) == ("customer-to-contact", MANY)

        code, out, err = await syncline(told, "deletions", "approve", "customer-to-contact")
        assert (code, out) == (0, f"customer-to-contact: {MANY} approved and on the way\n"), err
        await people.sees(*((CONTACT, each["email"], None) for each in others), (COMPANY, "A-4", None))
        assert (await told.settled()).equal
        assert await people.find(CONTACT, spared["email"])
        assert (await syncline(told, "deletions", "list"))[1] == "no deletion waits\n"
        # The Account that was deleted while its Contact was held may have been gone when it was asked for.
        assert {each.code for each in seen.letters} <= {"PARENT_NOT_FOUND"}


async def test_the_other_side_is_marked_or_let_go_and_a_restored_record_is_synced_again(
    whole: Whole, tmp_path: Path
) -> None:
    """Either direction lets go (unlink) of one kind and marks (deactivate) the other. Account and company 2 stay: they
    are the parents of the persons."""
    given = pipelines(
        tmp_path,
        policies(
            account_to_company="on_delete: {deactivate: {tier: former}}",
            company_to_account="on_delete: unlink",
            contact_to_customer="on_delete: unlink",
            customer_to_contact="on_delete: {deactivate: {Segment__c: former}}",
        ),
    )
    org = {"Account": [account(1), account(2)], "Contact": [contact(1, 2)]}
    hub = {"companies": [company(1), company(2)], "customers": [customer(1, 2)]}
    async with whole(pipelines=given) as told, hands(told) as people:
        await told.fill(Data(org, hub))
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        assert (await told.settled()).equal
        theirs = ((COMPANY, "A-1"), (ACCOUNT, "H-1"), (CUSTOMER, "c1@mail.example"), (CONTACT, "k1@shop.example"))
        left = {name: await people.id(kind, name) for kind, name in theirs}

        await people.delete(org["Account"][0]["Id"], org["Contact"][0]["Id"])
        await people.remove((COMPANY, hub["companies"][:1]), (CUSTOMER, hub["customers"]))
        seen = told.running.seen
        await told.until(lambda: len(seen.skipped.get("unlinked: the source was deleted", ())) == 2, "two to be let go")
        await people.sees(
            (COMPANY, "A-1", {"tier": "former"}),
            (CONTACT, "k1@shop.example", {"Segment__c": "former"}),
            (ACCOUNT, "H-1", {"Tier__c": "gold"}),
            (CUSTOMER, "c1@mail.example", {"segment": "retail"}),
        )

        # What is typed into those that are left goes nowhere and makes nothing new.
        await people.edit(COMPANY, left["A-1"], "phone", "1")
        await people.edit(CUSTOMER, left["c1@mail.example"], "phone", "2")
        await people.update(ACCOUNT, {"Id": left["H-1"], "Phone": "3"})
        await people.update(CONTACT, {"Id": left["k1@shop.example"], "Phone": "4"})
        let_go = "its counterpart was deleted and the pair unlinked"
        gone = [f"{ACCOUNT}/{org['Account'][0]['Id']}", f"{CUSTOMER}/{hub['customers'][0]['id']}"]
        await told.until(
            lambda: (
                len(seen.skipped.get(let_go, ())) == 2
                and all(seen.skipped.get(f"{each} was deleted and is not made again") for each in gone)
            ),
            "edits that go nowhere",
        )

        # Restored, each finds the one that it was a pair with.
        await people.load(ACCOUNT, account(1, Tier__c="silver", Website="https://again.example"))
        await people.load(CONTACT, contact(1, 2, Title="again"))
        await people.insert(COMPANY, company(1, website="https://again.example"))
        await people.insert(CUSTOMER, customer(1, 2, segment="trade", title="again"))
        await people.sees(
            (COMPANY, "A-1", {"Id": left["A-1"], "tier": "silver", "website": "https://again.example"}),
            (CUSTOMER, "c1@mail.example", {"Id": left["c1@mail.example"], "title": "again"}),
            (ACCOUNT, "H-1", {"Id": left["H-1"], "Website": "https://again.example"}),
            (CONTACT, "k1@shop.example", {"Id": left["k1@shop.example"], "Title": "again", "Segment__c": "trade"}),
        )
        assert (await told.settled()).equal
        assert seen.letters == []
