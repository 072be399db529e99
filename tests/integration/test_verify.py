"""The comparison on a real hub, a real broker and a simulated org, with no service running: what it costs, and that
what may be on its way is not taken for drift."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from syncline.config.load import parse
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.contracts.topics import topics
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher
from syncline.simorg import DEMO, Options, Org, Schema, serve
from syncline.state.database import connect
from syncline.state.links import Links
from syncline.verify.report import Report
from syncline.verify.run import verify
from tests.conftest import FreshDatabase
from tests.integration.hub_database import hub

PARTITIONS = 2
CONTACT, CUSTOMER = Object("salesforce", "Contact"), Object("hub", "customer")
LONG_AGO = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
PIPELINES = """
systems:
  salesforce:
    kind: salesforce
    login_url: {org}
    auth: {{flow: client_credentials, client_id: simorg, client_secret: right}}
    poll: {{interval: 0.2}}
    objects: {{Contact: {{counterpart: {{hub: Hub_Id__c}}}}}}
  hub:
    kind: postgres
    url: {hub}
    objects: {{customer: {{table: hub.customers, counterpart: {{salesforce: salesforce_id}}}}}}
pipelines:
  down: {{from: salesforce.Contact, to: hub.customer, fields: {{last_name: LastName, email: Email, phone: Phone}}}}
  up: {{from: hub.customer, to: salesforce.Contact, fields: {{LastName: last_name, Email: email, Phone: phone}}}}
"""


@dataclass
class Both:
    """Two systems whose records are linked; pool is of the hub, which holds the state schema too."""

    org: Org
    pool: Any
    settings: Settings
    config: Config
    ids: list[tuple[str, str]] = field(default_factory=list)

    async def pairs(self, count: int) -> None:
        """Equal ones, and linked as the writer would have."""
        people = [{"LastName": f"Ng {n}", "Email": f"{n}@mail.example", "Phone": None} for n in range(count)]
        contacts = self.org.load({"Contact": [{**each, "SystemModstamp": LONG_AGO} for each in people]})["Contact"]
        rows = [(UUID(int=n), each["LastName"], each["Email"]) for n, each in enumerate(people)]
        columns = ["id", "last_name", "email"]
        await self.pool.copy_records_to_table("customers", schema_name="hub", columns=columns, records=rows)
        logged = await self.pool.fetch("SELECT key, seq FROM syncline_capture.changes WHERE object = 'customer'")
        versions = {row["key"]: f"{row['seq']:020d}" for row in logged}
        self.ids = [(contact, str(row[0])) for contact, row in zip(contacts, rows, strict=True)]
        links = [
            Link(
                Side(Ref(*CONTACT, contact), LONG_AGO, dict(each)),
                Side(
                    Ref(*CUSTOMER, customer),
                    versions[customer],
                    {"last_name": each["LastName"], "email": each["Email"], "phone": None},
                ),
            )
            for (contact, customer), each in zip(self.ids, people, strict=True)
        ]
        for start in range(0, count, 2_000):
            assert all(await Links(self.pool).save(links[start : start + 2_000]))
        for kind, position in (
            (CONTACT, {"stamp": LONG_AGO, "id": ""}),
            (CUSTOMER, {"xid": "0", "seq": int(max(versions.values()))}),
        ):
            statement = "INSERT INTO syncline.cursors (system, object, position, fence) VALUES ($1, $2, $3, 1)"
            await self.pool.execute(statement, *kind, position)

    async def unseen(self, statement: str, *arguments: Any) -> None:
        """In the hub, with no trigger."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statement, *arguments)

    async def verify(self, *, wait: float = 10) -> Report:
        def progress(what: str, rows: int) -> None:
            del what, rows

        return await verify(self.settings, self.config, only=(), mend=False, wait=wait, progress=progress)


@pytest.fixture
async def both(kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase) -> AsyncIterator[Both]:
    async with AsyncExitStack() as running:
        url, _ = await running.enter_async_context(hub(fresh_database))
        pool = await running.enter_async_context(connect(url, application="test", size=2))
        org = Org(Schema.standard(DEMO), options=Options(client_secret="right"))
        at = await running.enter_async_context(serve(org))
        config = parse(PIPELINES.format(org=at, hub=url), name="test", environ={})
        environ = {
            "SYNCLINE_KAFKA": kafka_address,
            "SYNCLINE_DATABASE_URL": url,
            "SYNCLINE_PREFIX": topic_prefix.rstrip("."),
            "SYNCLINE_PARTITIONS": str(PARTITIONS),
        }
        settings = Settings.read(environ)
        wanted = topics(settings.names, config.sources, config.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        yield Both(org, pool, settings, config)


def kinds(report: Report) -> list[tuple[str, str, str]]:
    return sorted((each.what, each.reason, each.source.id) for each in report.differences)


async def test_it_costs_a_call_for_two_thousand_rows_and_nothing_for_what_is_equal(both: Both) -> None:
    await both.pairs(10_000)
    report = await both.verify()
    assert report.equal, report.differences[:3]
    assert report.calls["salesforce"] == {"auth": 1, "query": 5, "read": 2}  # the versions, the describe
    assert report.price("salesforce") == 50
    [compared] = report.pairs.values()
    assert (compared.differing, compared.again, len({*compared.checksums.values()})) == (0, 0, 1)
    assert 8_000 < compared.buckets <= 10_000
    assert {name: (read.rows, read.linked) for name, read in report.objects.items()} == {
        "salesforce/Contact": (10_000, 10_000),
        "hub/customer": (10_000, 10_000),
    }


async def test_only_pairs_whose_buckets_differ_are_read_again(both: Both) -> None:
    await both.pairs(4_000)
    contact, other = both.ids[7][0], both.ids[2_500][1]
    row = next(each for each in both.org.records("Contact") if each["Id"] == contact)
    unnamed = {name: value for name, value in row.items() if name not in ("Name", "IsDeleted")}
    both.org.load({"Contact": [{**unnamed, "Phone": "1"}]})
    await both.unseen("UPDATE hub.customers SET phone = '2' WHERE id = $1::text::uuid", other)
    await both.unseen("INSERT INTO hub.customers (id, last_name) VALUES ($1, 'New')", UUID(int=9_999))
    report = await both.verify()
    assert kinds(report) == sorted(
        [("field", "drift", contact), ("field", "drift", other), ("missing", "drift", str(UUID(int=9_999)))]
    )
    [compared] = report.pairs.values()
    assert compared.differing == 2
    assert compared.again < 20
    # One call for each look at the pairs that differ; of the record without counterpart there is nothing to look up.
    assert report.calls["salesforce"] == {"auth": 1, "query": 2, "read": 2 + report.looks}


@pytest.mark.parametrize("logged", [True, False])
async def test_a_row_or_a_deletion_that_the_hub_has_logged_is_in_flight_until_it_is_captured(
    both: Both, logged: bool
) -> None:
    both.config = both.config.model_copy(
        update={
            "pipelines": {
                name: each.model_copy(update={"on_delete": "delete"}) for name, each in both.config.pipelines.items()
            }
        }
    )
    await both.pairs(2)
    change = both.pool.execute if logged else both.unseen
    await change("INSERT INTO hub.customers (id, last_name) VALUES ($1, 'New')", UUID(int=9_999))
    await change("DELETE FROM hub.customers WHERE id = $1::text::uuid", both.ids[0][1])
    report = await both.verify(wait=5)
    reason = "in flight" if logged else "drift"
    assert kinds(report) == sorted([("gone", reason, both.ids[0][1]), ("missing", reason, str(UUID(int=9_999)))])


@pytest.mark.parametrize("logged", [True, False])
async def test_what_the_hub_has_logged_and_nobody_applied_is_in_flight(both: Both, logged: bool) -> None:
    await both.pairs(3)
    statement = "UPDATE hub.customers SET phone = '2' WHERE id = $1::text::uuid"
    await (both.pool.execute if logged else both.unseen)(statement, both.ids[0][1])
    report = await both.verify(wait=5)
    assert [each.reason for each in report.differences] == ["in flight" if logged else "drift"]


async def test_nothing_is_drift_while_something_waits_in_a_topic(both: Both) -> None:
    await both.pairs(3)
    await both.unseen("UPDATE hub.customers SET phone = '2' WHERE id = $1::text::uuid", both.ids[0][1])
    async with publisher(both.settings.kafka, "test") as out:
        await out.publish([Message(both.settings.names.commands("hub"), b"x", b"a command on its way")])
    report = await both.verify(wait=6)
    assert [each.reason for each in report.differences] == ["in flight"]


async def test_an_old_record_that_was_never_read_is_not_mapped_and_a_new_one_is_in_flight(both: Both) -> None:
    await both.pairs(1)
    old, new = both.org.load({"Contact": [{"LastName": "Old", "SystemModstamp": LONG_AGO}, {"LastName": "New"}]})[
        "Contact"
    ]
    report = await both.verify(wait=0)
    assert kinds(report) == sorted([("missing", "in flight", old), ("missing", "in flight", new)])
    report = await both.verify(wait=5)
    assert kinds(report) == sorted([("missing", "not mapped", old), ("missing", "in flight", new)])
