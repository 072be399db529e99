"""The go-live list on a real Kafka, a real PostgreSQL and a simulated org: each thing that is wrong is found."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncline.config.checks import Finding
from syncline.config.load import load
from syncline.config.model import PostgresSystem
from syncline.config.settings import Settings
from syncline.contracts.topics import topics
from syncline.hub import capture
from syncline.runtime.admin import create_topics
from syncline.simorg import DEMO, Options, Org, Schema, serve
from syncline.state import database
from syncline.systems.catalogs import described_in_hub
from syncline.systems.golive import Look, look
from tests.conftest import FreshDatabase

PIPELINES = Path(__file__).parents[2] / "syncline/local/demo/pipelines.yaml"
PARTITIONS = 2


@dataclass
class Place:
    """All that the demo's configuration names. ahead: of the org's clock before ours."""

    org: Org
    pool: Any
    settings: Settings
    environ: dict[str, str]
    ahead: timedelta = timedelta(0)
    more: dict[str, str] = field(default_factory=dict)

    async def look(self) -> Look:
        config = load(PIPELINES, {**self.environ, **self.more})
        return await look(self.settings, config, rng=random.Random(1), now=lambda: datetime.now(UTC) - self.ahead)

    async def found(self) -> list[Finding]:
        return (await self.look()).findings

    async def told(self) -> str:
        """What is found, as a person reads it."""
        return "\n".join(map(str, await self.found()))


async def prepare(url: str) -> None:
    system = load(
        PIPELINES,
        {
            **dict.fromkeys(("SALESFORCE_LOGIN_URL", "SALESFORCE_CLIENT_ID"), "x"),
            "SALESFORCE_CLIENT_SECRET_FILE": "x",
            "SYNCLINE_HUB_URL": url,
        },
    ).systems["hub"]
    assert isinstance(system, PostgresSystem)
    async with database.connect(url, application="syncline-migrate") as pool:
        await database.migrate(pool)
        await capture.create_hub(pool)
        await capture.install(pool, system.objects)


@pytest.fixture
async def place(
    kafka_address: str, fresh_database: FreshDatabase, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Place]:
    """In which nothing is wrong."""
    async with AsyncExitStack() as running:
        url = await running.enter_async_context(fresh_database(prepare))
        pool = await running.enter_async_context(database.connect(url, application="crm", size=1))
        org = Org(Schema.standard(DEMO), options=Options(client_secret="right"))
        login_url = await running.enter_async_context(serve(org))
        (tmp_path / "secret").write_text("right")
        environ = {
            "SALESFORCE_LOGIN_URL": login_url,
            "SALESFORCE_CLIENT_ID": "simorg",
            "SALESFORCE_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
            "SYNCLINE_HUB_URL": url,
        }
        settings = Settings.read(
            {
                "SYNCLINE_KAFKA": kafka_address,
                "SYNCLINE_DATABASE_URL": url,
                "SYNCLINE_PREFIX": topic_prefix.rstrip("."),
                "SYNCLINE_PARTITIONS": str(PARTITIONS),
            }
        )
        config = load(PIPELINES, environ)
        wanted = topics(settings.names, config.sources, config.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        yield Place(org, pool, settings, environ)


async def test_where_nothing_is_wrong_the_price_of_the_first_run_is_told(place: Place) -> None:
    place.org.load({"Account": [{"Name": f"Account {number}"} for number in range(2_100)]})
    await place.pool.execute("INSERT INTO hub.companies (name) SELECT 'c' || n FROM generate_series(1, 401) AS n")
    found = await place.look()
    assert (found.findings, found.good) == ([], True)
    (told,) = found.told
    # Read 2,100 Accounts; write 401 companies: looked at, written, matched by one rule, captured again.
    assert "takes up to 10 of the" in told
    assert "2,100 rows of salesforce/Account to read" in told
    assert "401 rows to write by company-to-account" in told


async def test_what_was_read_before_costs_no_first_run(place: Place) -> None:
    await place.pool.execute(
        "INSERT INTO syncline.cursors (system, object, position, fence)"
        " SELECT system, object, '{}', 1 FROM (VALUES ('salesforce', 'Account'), ('salesforce', 'Contact'),"
        " ('hub', 'company'), ('hub', 'customer')) AS known (system, object)"
    )
    place.org.load({"Account": [{"Name": "Acme"}]})
    assert (await place.look()).told == []


async def test_a_quota_that_does_not_carry_the_first_run(place: Place) -> None:
    place.org.load({"Account": [{"Name": f"Account {number}"} for number in range(4_001)]})
    place.org.usage.quota = place.org.usage.used(place.org.clock()) + 9
    (scarce,) = await place.found()
    assert (scarce.place, scarce.blocks) == ("systems.salesforce", False)
    place.org.usage.quota = place.org.usage.used(place.org.clock()) + 6
    (short,) = await place.found()
    assert short.blocks
    assert "the first run takes up to 3 of the" in short.what


async def test_topics_that_are_missing_or_have_other_partitions(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"partitions": 3})
    assert {each.what.partition("partitions")[2] for each in await place.found()} == {
        " where SYNCLINE_PARTITIONS says 3"
    }
    place.settings = place.settings.model_copy(update={"partitions": 2, "prefix": "nobody"})
    findings = await place.found()
    assert ("kafka", "topic nobody.results is missing", "run `syncline topics`") in {
        (each.place, each.what, each.remedy) for each in findings
    }


async def test_a_database_that_was_not_migrated_and_changes_that_are_not_captured(place: Place) -> None:
    await place.pool.execute("DELETE FROM syncline.migrations WHERE name LIKE '0003%'")
    await place.pool.execute("ALTER TABLE hub.customers DISABLE TRIGGER ALL")
    database, hub = await place.found()
    assert (database.place, "run `syncline migrate`" in database.what) == ("database", True)
    assert hub.place == "systems.hub"
    assert "changes are not captured on hub.customers" in hub.what


async def test_permissions_on_objects(place: Place) -> None:
    place.org.alter("Contact", {"createable": False, "updateable": False})
    place.org.alter("Account", {"queryable": False, "deletable": False})
    place.more = {"SYNCLINE__PIPELINES__CUSTOMER_TO_CONTACT__ON_DELETE": "delete"}
    told = await place.told()
    assert "pipelines.customer-to-contact.to: the user may not create salesforce/Contact" in told
    assert "pipelines.customer-to-contact.to: the user may not update salesforce/Contact" in told
    assert "pipelines.account-to-company.from: the user may not read salesforce/Account" in told
    assert "delete" not in told  # Contacts may be deleted, and Accounts need not be
    place.org.alter("Contact", {"deletable": False})
    assert "pipelines.customer-to-contact.on_delete: the user may not delete salesforce/Contact" in await place.told()


async def test_permissions_on_fields_and_external_ids(place: Place) -> None:
    place.org.alter("Account", {"fields": [{"name": "Phone", "updateable": False}]}, without=["Fax"])
    place.org.alter("Contact", {"fields": [{"name": "Hub_Id__c", "unique": False}]})
    told = await place.told()
    assert "company-to-account.fields.Phone: Phone of salesforce/Account cannot be written" in told
    assert "account-to-company: salesforce/Account has no field Fax" in told
    assert "customer-to-contact: Hub_Id__c of salesforce/Contact is not unique" in told


async def test_rights_in_the_hub(place: Place) -> None:
    role = f"reader_{place.settings.prefix.replace('.', '_')}"
    system = load(PIPELINES, place.environ).systems["hub"]
    assert isinstance(system, PostgresSystem)
    await place.pool.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA hub TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA hub TO {role}; GRANT INSERT, UPDATE ON hub.companies TO {role};"
        f"GRANT INSERT, UPDATE (last_name) ON hub.customers TO {role}; SET ROLE {role}"
    )
    try:
        company = await described_in_hub(place.pool, system.objects["company"])
        customer = await described_in_hub(place.pool, system.objects["customer"])
    finally:
        await place.pool.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")
    assert company.rights == {"read"}  # its addresses may only be read
    assert [name for name, info in customer.catalog.items() if info.writable and "." not in name] == ["last_name"]


async def test_clocks_that_are_apart_are_for_a_person_to_judge(place: Place) -> None:
    place.ahead = timedelta(seconds=10)
    findings = await place.found()
    assert [(each.place, each.blocks) for each in findings] == [("systems.salesforce", False), ("systems.hub", False)]
    assert "ahead of this machine's" in findings[0].what
    place.ahead = timedelta(seconds=-10)
    assert all("behind this machine's" in each.what for each in await place.found())
    place.ahead = timedelta(seconds=1)
    assert await place.found() == []


async def test_secrets_that_cannot_be_read_or_are_wrong_are_told_and_the_rest_is_looked_at(place: Place) -> None:
    secret = Path(place.environ["SALESFORCE_CLIENT_SECRET_FILE"])
    secret.write_text("wrong")
    await place.pool.execute("ALTER TABLE hub.companies DROP COLUMN website CASCADE")
    told = await place.told()
    assert "systems.salesforce: " in told
    assert "hub/company has no field website" in told
    assert "shows no object Account" not in told
    secret.unlink()
    assert f"systems.salesforce: cannot read {secret}" in await place.told()


async def test_servers_that_are_away_are_findings_too(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"kafka": "127.0.0.1:1"})
    place.more = {"SYNCLINE_HUB_URL": "postgresql://nobody@127.0.0.1:1/none"}
    told = [(each.place, each.blocks) for each in await place.found()]
    assert told == [("kafka", True), ("systems.hub", True)]


async def test_objects_of_every_kind_are_judged_by_their_own_describe(place: Place, tmp_path: Path) -> None:
    org = tmp_path / "org"
    org.mkdir()
    for name, fields in {
        "Lead": {"LastName": False, "Company": False, "Email": True},
        "Opportunity": {"Name": False, "StageName": False, "CloseDate": False, "Amount": True},
        "My_Object__c": {"Name": True, "Code__c": True},
    }.items():
        described = [{"name": each, "type": "string", "length": 80, "nillable": may} for each, may in fields.items()]
        (org / f"{name}.json").write_text(json.dumps({"name": name, "fields": described}))
    pipelines = tmp_path / "more.yaml"
    pipelines.write_text(
        "systems:\n"
        "  salesforce:\n"
        "    kind: salesforce\n"
        "    login_url: ${SALESFORCE_LOGIN_URL}\n"
        "    auth: {flow: client_credentials, client_id: simorg, client_secret: right}\n"
        "  hub: {kind: postgres, url: '${SYNCLINE_HUB_URL}', objects: {customer: {table: hub.customers}}}\n"
        "pipelines:\n"
        "  leads: {from: hub.customer, to: salesforce.Lead, fields: {LastName: last_name}}\n"
        "  deals: {from: hub.customer, to: salesforce.Opportunity, fields: {Name: last_name, StageName: title}}\n"
        "  own: {from: hub.customer, to: salesforce.My_Object__c, fields: {code__c: title}}\n"
    )
    async with serve(Org(Schema.standard(org), options=Options(client_secret="right"))) as url:
        config = load(pipelines, {**place.environ, "SALESFORCE_LOGIN_URL": url})
        found = await look(place.settings, config, rng=random.Random(1), now=lambda: datetime.now(UTC))
    told = [str(each) for each in found.findings if each.place.startswith("pipelines")]
    assert told == [
        "pipelines.leads: salesforce/Lead requires Company. Map them, or give `static` values.",
        "pipelines.deals: salesforce/Opportunity requires CloseDate. Map them, or give `static` values.",
        "pipelines.own.fields.code__c: salesforce/My_Object__c has no field code__c. Did you mean Code__c?",
    ]
