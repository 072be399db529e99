"""A night on call: the target refuses a parent, its child waits, the cause is put right, the input is retried."""

from __future__ import annotations

import json
from typing import Any

from syncline.local.demo.run import Story
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import account, contact


async def asked(told: Story, *words: str) -> Any:
    code, out, err = await syncline(told, *words, "--json")
    assert code == 0, err
    return json.loads(out)


async def test_what_the_target_refused_is_written_once_it_is_retried_and_releases_who_waited(whole: Whole) -> None:
    async with whole() as told:
        await told.hub.execute("ALTER TABLE hub.companies ADD CONSTRAINT wary CHECK (name <> 'Acme')")
        for service in SERVICES:
            await told.system.start(service)
        rows = {"Account": [account(1, Name="Acme"), account(2)], "Contact": [contact(1, 1), contact(2, 2)]}
        async with told.http.post(f"{told.system.org_url}/simorg/load", json=rows) as reply:
            assert reply.status == 200, await reply.text()
        seen = told.running.seen
        await told.until(
            lambda: len(seen.letters) == 1 and seen.total("created") == 2, "the refusal and the neighbours"
        )

        status = await asked(told, "status", "--quota")
        assert {each["stage"]: each["replicas"] for each in status["stages"]} == dict.fromkeys(SERVICES, 1)
        assert (status["held"]["count"], status["dead_letters"]["count"]) == (1, 1)
        assert status["quota"]["salesforce"]["used"] > 0
        refused = f"salesforce/Account/{account(1)['Id']}"
        [letter] = (await asked(told, "dead-letters", "list", "--record", refused))["dead_letters"]
        assert letter["position"].startswith(f"{told.system.names.commands('hub')}/")
        waiting = (await asked(told, "held", "list"))["held"]
        assert [each["waits_for"] for each in waiting] == [refused]

        again = await asked(told, "dead-letters", "retry", letter["id"])
        assert again["retried"] == 1
        await told.until(lambda: len(seen.letters) == 2, "the second refusal, since nothing was put right yet")
        [second] = (await asked(told, "dead-letters", "list"))["dead_letters"]
        assert second["id"] != letter["id"]

        await told.hub.execute("ALTER TABLE hub.companies DROP CONSTRAINT wary")
        assert (await asked(told, "dead-letters", "retry", "--code", second["code"], "--yes"))["retried"] == 1
        assert (await told.settled()).equal
        assert (await asked(told, "dead-letters", "list"))["count"] == 0
        assert (await asked(told, "status"))["held"]["count"] == 0
        run = (await asked(told, "results"))["pipelines"]["account-to-company"]
        assert (run["rejected"], run["created"]) == (2, 2)
