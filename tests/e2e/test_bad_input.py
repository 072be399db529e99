"""One bad record never stops its neighbours; a system that is down is waited for; a wrong setting is told by name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from syncline.contracts.deadletter import DeadLetter
from syncline.local.demo import both
from syncline.local.demo.edits import CONTACT, CUSTOMER
from syncline.local.machine import free_port
from syncline.local.processes import spawn
from syncline.local.system import PIPELINES, SERVICES, System, system
from syncline.runtime.kafka import Message, publisher
from syncline.runtime.process import FATAL
from tests.conftest import RUN, FreshDatabase
from tests.e2e.conftest import SESSION_TIMEOUT, Whole
from tests.e2e.people import small

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_bad_record_becomes_a_dead_letter_and_its_neighbours_go_through(whole: Whole) -> None:
    company = uuid4()
    bad = {"no-address": ("Bad", "at home"), "long": ("L" * 81, "long@shop.example")}
    good = {f"good{n}": (f"Good {n}", f"good{n}@shop.example") for n in range(8)}
    customers = {name: (uuid4(), *values) for name, values in {**good, **bad}.items()}
    async with whole() as told:
        running = told.system
        await asyncio.gather(
            running.start("poller"), running.start("mapper"), running.start("writer", writer_linger="2")
        )
        await told.hub.execute("INSERT INTO hub.companies (id, name) VALUES ($1, 'Neighbours')", company)
        await told.until(lambda: told.running.seen.total("created") == 1, "the company's Account")
        calls = (await told.stats())["calls"]["write"]

        changes = running.names.changes(CUSTOMER)
        async with publisher(running.stack.kafka_address, "stranger") as stranger:
            await stranger.publish([Message(changes, b"torn", b'{"specversion": "1.0", "type": ')])
        await told.hub.executemany(
            "INSERT INTO hub.customers (id, company_id, last_name, email) VALUES ($1, $2, $3, $4)",
            [(id, company, last_name, email) for id, last_name, email in customers.values()],
        )
        seen = told.running.seen
        await told.until(lambda: seen.total("created") == 1 + len(good), "the neighbours")
        await told.until(lambda: len(seen.letters) == 1 + len(bad), "the dead letters")

        letters = {letter.ref or letter.position: letter for letter in seen.letters}
        check_letter(letters[ref(customers, "no-address")], "writer", "INVALID_EMAIL_ADDRESS", ("Email",), "source")
        check_letter(letters[ref(customers, "long")], "writer", "STRING_TOO_LONG", ("LastName",), "Shorten")
        [torn] = [letter for letter in seen.letters if letter.ref is None]
        check_letter(torn, "mapper", "MALFORMED", (), "JSON Schema")
        assert torn.position.startswith(f"{changes}/")
        assert torn.input == b'{"specversion": "1.0", "type": '

        assert (await told.stats())["calls"]["write"] == calls + 1, "the good were in the same call as the bad"
        records = await both.records(running, told.hub, told.http)
        assert {each["Email"] for each in records[CONTACT].values()} == {email for _, email in good.values()}

        # Put right, it flows like any other.
        await told.hub.execute("UPDATE hub.customers SET email = 'home@shop.example' WHERE email = 'at home'")
        await told.hub.execute("UPDATE hub.customers SET last_name = 'L' WHERE email = 'long@shop.example'")
        assert (await told.settled()).equal


def ref(customers: dict[str, tuple[UUID, str, str]], name: str) -> str:
    return f"{CUSTOMER}/{customers[name][0]}"


def check_letter(letter: DeadLetter, stage: str, code: str, fields: tuple[str, ...], remedy: str) -> None:
    assert (letter.stage, letter.code, letter.fields) == (stage, code, fields)
    assert remedy in letter.remedy
    assert letter.input


async def test_services_wait_for_an_org_that_is_down_and_say_so(whole: Whole) -> None:
    data = small(21)
    async with whole(org=("--port", str(free_port()))) as told:
        running = told.system
        await running.org.stop()
        started = await asyncio.gather(*(running.start(service) for service in SERVICES))
        waiting = [child for child in started if not child.name.startswith("mapper")]
        address = running.org_url.removeprefix("http://")
        await told.until(
            lambda: all(f"{address} cannot be reached" in each.log_since_start() for each in waiting),
            "the poller and the writer to say whom they wait for",
        )
        assert all(child.alive for child in started)
        await running.org.start()
        await told.fill(data)
        assert (await told.settled()).equal


@pytest.fixture(scope="module")
async def ready(
    tmp_path_factory: pytest.TempPathFactory, kafka_address: str, fresh_database: FreshDatabase
) -> AsyncIterator[System]:
    """A system that lacks nothing but services; shared, since none of those started here comes to do anything."""
    async with (
        fresh_database() as url,
        system(
            tmp_path_factory.mktemp("ready"),
            kafka_address=kafka_address,
            database_url=url,
            prefix=f"{RUN}.ready",
            environ=SESSION_TIMEOUT,
        ) as running,
    ):
        yield running


async def last_words(ready: System, services: Sequence[str], **environ: str) -> list[str]:
    """What the services log that are started with other settings; all end by themselves, as fatal."""

    async def ended(service: str) -> str:
        child = await spawn(
            service,
            [sys.executable, "-m", f"services.{service}"],
            env=ready.environ | environ,
            log_dir=ready.folder / "logs",
        )
        try:
            async with asyncio.timeout(60):
                code = await child.wait()
        finally:
            await child.kill()
        assert code == FATAL, child.log_tail()
        return child.log_since_start()

    return await asyncio.gather(*map(ended, services))


async def test_a_wrong_client_secret_is_told_in_salesforces_words_and_never_shown(
    ready: System, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not-the-secret-of-this-org")
    for log in await last_words(ready, ["poller", "writer"], SALESFORCE_CLIENT_SECRET_FILE=str(secret)):
        assert "the client credentials login" in log
        assert "invalid_client" in log
        assert "invalid client credentials" in log
        assert ready.org_url in log
        assert secret.read_text() not in log


async def test_a_database_without_the_state_schema_names_the_command_that_makes_it(
    ready: System, fresh_database: FreshDatabase
) -> None:
    async with fresh_database() as url:
        for log in await last_words(ready, ["poller", "writer"], SYNCLINE_DATABASE_URL=url):
            assert "syncline migrate" in log


async def test_a_wrong_partition_count_names_the_topic_and_both_counts(ready: System) -> None:
    names = ready.names
    logs = await last_words(ready, SERVICES, SYNCLINE_PARTITIONS="5")
    for log, topic in zip(logs, [names.requests, names.mapped, names.results], strict=True):
        assert f"topic {topic} has 4 partitions where SYNCLINE_PARTITIONS says 5" in log


async def test_a_field_that_is_nowhere_names_the_pipeline_and_the_field(ready: System, tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines.yaml"
    pipelines.write_text(PIPELINES.read_text().replace("Title: title", "Titel: title"))
    [log] = await last_words(ready, ["writer"], SYNCLINE_PIPELINES=str(pipelines))
    assert "pipelines.customer-to-contact.fields.Titel" in log
    assert "salesforce/Contact has no field Titel" in log


async def test_the_shipped_example_is_refused_until_its_placeholders_are_replaced(ready: System) -> None:
    for log in await last_words(ready, SERVICES, SYNCLINE_PIPELINES=str(EXAMPLES / "pipelines.yaml")):
        assert "pipelines.account-to-company.fields.tier: Your_Tier__c is a placeholder" in log
        assert "pipelines.customer-to-contact.fields.Your_Segment__c" in log
        assert "Traceback" not in log
