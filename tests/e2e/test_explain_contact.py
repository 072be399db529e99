"""The story of one Contact that had to wait for its Account, told by the command line from either side's id."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from syncline.contracts.ref import Object
from syncline.local.demo import both
from syncline.local.demo.data import Data, id18
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole, syncline


def stamped(row: dict[str, Any], *, days_ago: float) -> dict[str, Any]:
    stamp = (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return {**row, "CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}


def one_contact() -> Data:
    """Its Account lies outside the first look-back, so that it must be asked for and the Contact must wait."""
    account = stamped({"Id": id18("001", 1), "Name": "Lund Works", "AccountNumber": "A-1"}, days_ago=30)
    contact = {"Id": id18("003", 1), "LastName": "Lund", "Email": "lund@mail.example", "AccountId": account["Id"]}
    return Data({"Account": [account], "Contact": [stamped(contact, days_ago=1)]}, {})


async def test_a_contact_tells_the_same_story_by_both_of_its_ids(whole: Whole) -> None:
    data = one_contact()
    [contact], [account] = data.org["Contact"], data.org["Account"]
    async with whole() as told:
        await told.fill(data)
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        assert (await told.settled()).compared == 4  # two pairs, both ways
        pairs = await both.pairs(told.state)
        [customer] = [other.id for (ref, _), other in pairs.items() if ref.id == contact["Id"]]
        assert Object("hub", "customer") in {other.kind for other in pairs.values()}

        stories = []
        for asked in (contact["Id"], customer):
            code, out, err = await syncline(told, "explain", asked, "--json")
            assert code == 0, err
            stories.append(json.loads(out))
        code, _, err = await syncline(told, "explain", "003nobody")
        assert (code, err.startswith("Error: nothing is known of 003nobody")) == (1, True)
        code, out, _ = await syncline(told, "held", "list")
        assert (code, out) == (0, "nothing is held\n")

    by_contact, by_customer = stories
    names = [f"hub/customer/{customer}", f"salesforce/Contact/{contact['Id']}"]
    assert by_contact["records"] == by_customer["records"] == names
    assert by_contact["entries"][:-1] == by_customer["entries"][:-1]
    assert by_contact["entries"][-1]["detail"] == by_customer["entries"][-1]["detail"]
    waited = f"salesforce/Account/{account['Id']}"
    whats = [entry["what"] for entry in by_contact["entries"]]
    there = [
        "snapshot captured in salesforce",
        f"held: waits for {waited}",
        "sent to the writer of hub",
        f"created {names[0]}",
    ]
    assert [what for what in whats if what in there] == there
    # The mapper says that it holds it no longer when the command is safe.
    assert whats.index(f"no longer held for {waited}") > whats.index(there[2])
    assert whats[-1] == f"linked now: {names[0]} and {names[1]}"
    echo = next(place for place, what in enumerate(whats) if what.endswith("captured in hub"))
    assert echo > whats.index(there[3])
    assert f"nothing to write: {names[1]} holds it already" in whats[echo:]
