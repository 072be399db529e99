"""A field that both sides changed, under the policy `review`: held on both sides until a person decides."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from syncline.local.demo.data import Data
from syncline.local.demo.edits import CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import account, contact, hands, pipelines

REVIEWED = {
    "title: Title\n": "title: {from: Title, conflict: review}\n",
    "Title: title\n": "Title: {from: title, conflict: review}\n",
}


async def test_a_disputed_field_waits_for_a_person_and_then_both_sides_are_equal(whole: Whole, tmp_path: Path) -> None:
    emails = {keep: f"c{n}@mail.example" for n, keep in enumerate(("salesforce", "hub"), 1)}
    agreed = [contact(n, 1, Title="agreed") for n in (1, 2)]
    async with whole(pipelines=pipelines(tmp_path, REVIEWED)) as told, hands(told) as people:
        await told.fill(Data({"Account": [account(1)], "Contact": agreed}, {}))
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        assert (await told.settled()).equal

        # The poll stays two seconds behind Salesforce's clock: whoever types in the hub just after cannot have seen it.
        customers = [await people.id(CUSTOMER, email) for email in emails.values()]
        await people.update(CONTACT, *({"Id": each["Id"], "Title": "salesforce", "LastName": "Ng"} for each in agreed))
        for each in customers:
            await people.edit(CUSTOMER, each, "title", "hub")
            await people.edit(CUSTOMER, each, "phone", "1")
        disputed = [
            *((CONTACT, email, {"Title": "salesforce", "Phone": "1"}) for email in emails.values()),
            *((CUSTOMER, email, {"title": "hub", "last_name": "Ng"}) for email in emails.values()),
        ]
        await people.sees(*disputed)
        waiting = await conflicts(told)
        assert {each["field"] for each in waiting} <= {"Title", "title"}
        assert {each["agreed"] for each in waiting} == {"agreed"}

        # What is typed meanwhile stays where it is, and is what wins later on.
        await people.update(CONTACT, {"Id": agreed[0]["Id"], "Title": "salesforce, later", "Phone": "2"})
        await people.sees((CUSTOMER, emails["salesforce"], {"title": "hub", "phone": "2"}))
        ends = {"salesforce": "salesforce, later", "hub": "hub"}
        for keep, email in emails.items():
            ids = {await people.id(CONTACT, email), await people.id(CUSTOMER, email)}
            number = next(each["id"] for each in waiting if each["source"].rpartition("/")[2] in ids)
            code, out, err = await syncline(told, "conflicts", "resolve", str(number), "--keep", keep)
            assert (code, out) == (0, f"{keep} wins; its value is on its way\n"), err
        await people.sees(
            *((CONTACT, email, {"Title": ends[keep]}) for keep, email in emails.items()),
            *((CUSTOMER, email, {"title": ends[keep]}) for keep, email in emails.items()),
        )
        assert (await told.settled()).equal
        assert await conflicts(told) == []
        await people.edit(CUSTOMER, customers[0], "title", "as before")
        await people.sees((CONTACT, emails["salesforce"], {"Title": "as before"}))


async def conflicts(told: Story) -> list[dict[str, Any]]:
    """Those that wait for a person, as the command line tells them."""
    code, out, err = await syncline(told, "conflicts", "list", "--waiting", "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)["conflicts"]
    return found
