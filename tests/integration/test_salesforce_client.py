"""The client against the simulated org, over real sockets, with the org's faults."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from traceback import format_exception
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from syncline.contracts.errors import Fatal, RecordRejected, SessionExpired, Throttled, Transient
from syncline.salesforce.auth import ClientCredentials, Flow, JwtBearer
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import Saved
from syncline.salesforce.errors import LocatorExpired, OutcomeUnknown
from syncline.salesforce.protocol import Limits, Method, Reply
from syncline.salesforce.soql import Names, chunks, soql
from syncline.salesforce.transport import HttpTransport
from syncline.simorg import DEMO, Fault, Options, Org, Schema, serve

SECRET = "s3cret-of-the-app"
FLOW = ClientCredentials("simorg", SECRET)


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def client(session: aiohttp.ClientSession, url: str, flow: Flow = FLOW, **options: Any) -> Salesforce:
    """Waits between tries take no time and count for nothing: only `budget` 0 bounds them, to a single try."""
    return Salesforce(
        options.pop("transport", HttpTransport(session)),
        flow,
        login_url=url,
        clock=options.pop("clock", Clock()),
        rng=random.Random(1),
        sleep=at_once,
        **options,
    )


@dataclass
class Bench:
    org: Org
    url: str
    session: aiohttp.ClientSession
    clock: Clock
    salesforce: Salesforce = field(init=False)

    def __post_init__(self) -> None:
        self.salesforce = self.client()

    def client(self, **options: Any) -> Salesforce:
        return client(self.session, self.url, **options)

    def strike(self, *faults: Fault) -> None:
        self.org.faults.rules = list(faults)

    def names(self) -> list[Any]:
        return sorted(record["Name"] for record in self.org.records("Account"))

    async def rows(self, statement: str, **options: Any) -> list[dict[str, Any]]:
        return [row async for page in self.salesforce.query(statement, **options) for row in page.records]


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Bench]:
    clock = Clock()
    org = Org(Schema.standard(DEMO), clock=clock, rng=random.Random(1), options=options)
    async with serve(org) as url, aiohttp.ClientSession() as session:
        yield Bench(org, url, session, clock)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running(Options(client_secret=SECRET)) as bench:
        yield bench


async def test_connecting_discovers_instance_version_and_time(bench: Bench) -> None:
    await bench.salesforce.connect()
    assert float(bench.salesforce.api_version) >= 67
    assert bench.salesforce.server_time == bench.clock.now
    limits = await bench.salesforce.limits()
    assert limits["DailyApiRequests"]["Max"] == 100_000
    assert bench.salesforce.usage == Limits(1, 100_000)
    assert bench.salesforce.calls == {"auth": 1, "read": 2}


async def test_jwt_bearer() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    async with running(Options(jwt_public_key=public)) as bench:
        flow = JwtBearer("simorg", bench.org.options.username, private)
        await bench.client(flow=flow).connect()
        late = Clock(bench.clock.now - timedelta(hours=1))
        with pytest.raises(Fatal, match="clock"):
            await bench.client(flow=flow, clock=late).connect()


async def test_a_wrong_secret_is_named_without_being_shown(bench: Bench) -> None:
    with pytest.raises(Fatal, match="client credentials login") as raised:
        await bench.client(flow=ClientCredentials("simorg", "wrong-hush")).connect()
    assert "hush" not in str(raised.value)


async def test_describe(bench: Bench) -> None:
    description = await bench.salesforce.describe("Contact")
    assert {"LastName", "AccountId", "Hub_Id__c"} <= {field["name"] for field in description["fields"]}
    with pytest.raises(RecordRejected) as raised:
        await bench.salesforce.describe("Nothing__c")
    assert raised.value.code == "NOT_FOUND"


async def test_a_life_of_records(bench: Bench) -> None:
    salesforce = bench.salesforce
    new = await salesforce.create("Account", [{"Name": "A"}, {"Name": ""}, {"Name": "C", "Phone": "1"}])
    assert isinstance(new[0], Saved)
    assert isinstance(new[1], RecordRejected)
    assert isinstance(new[2], Saved)
    assert (new[1].code, new[1].fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
    first, third = new[0].id, new[2].id
    assert await salesforce.update("Account", [{"Id": third, "Phone": None}]) == [Saved(third)]
    keyed = {"Hub_Id__c": "c/1", "LastName": "Ng", "Account": {"Hub_Id__c": "a 1"}}
    (orphan,) = await salesforce.upsert("Contact", "Hub_Id__c", [keyed])
    assert isinstance(orphan, RecordRejected)
    await salesforce.update("Account", [{"Id": first, "Hub_Id__c": "a 1"}])
    (contact,) = await salesforce.upsert("Contact", "Hub_Id__c", [keyed])
    assert isinstance(contact, Saved)
    assert contact.created
    assert await salesforce.upsert("Contact", "Hub_Id__c", [keyed]) == [Saved(contact.id)]
    assert await salesforce.delete([third]) == [Saved(third)]
    assert await salesforce.delete([third, first]) == [Saved(third), Saved(first)]
    found = await salesforce.retrieve("Account", [third, first], ["Name", "Phone"])
    assert found == [None, None]
    assert bench.org.stats.rows == {"created": 3, "updated": 3, "deleted": 3}


async def test_retrieve_keeps_the_order_of_the_ids(bench: Bench) -> None:
    new = await bench.salesforce.create("Account", [{"Name": f"A{n}"} for n in range(450)])
    ids = [saved.id for saved in new if isinstance(saved, Saved)]
    assert len(ids) == 450
    random.Random(7).shuffle(ids)
    found = await bench.salesforce.retrieve("Account", [ids[0], "001000000000099AAA", *ids[1:]], ["Id"])
    assert [record and record["Id"] for record in found] == [ids[0], None, *ids[1:]]


async def test_pages_to_the_end_and_deleted_rows_when_asked(bench: Bench) -> None:
    ids = bench.org.load({"Account": [{"Name": f"A{n:04}", "deleted": n == 7} for n in range(450)]})["Account"]
    pages = [
        page async for page in bench.salesforce.query("SELECT Id FROM Account ORDER BY Id NULLS FIRST", page_size=200)
    ]
    assert [len(page.records) for page in pages] == [200, 200, 49]
    assert [row["Id"] for page in pages for row in page.records] == sorted(ids[:7] + ids[8:])
    every = await bench.rows("SELECT Id, IsDeleted FROM Account", include_deleted=True, page_size=200)
    assert [row["Id"] for row in every if row["IsDeleted"]] == [ids[7]]
    assert len(every) == 450


async def test_a_locator_dies_after_two_days(bench: Bench) -> None:
    bench.org.load({"Account": [{"Name": f"A{n}"} for n in range(450)]})
    first = await anext(bench.salesforce.query("SELECT Id FROM Account", page_size=200))
    assert first.locator
    rest = [page async for page in bench.salesforce.resume(first.locator)]
    assert sum(len(page.records) for page in rest) == 250
    bench.clock.now += timedelta(days=3)
    with pytest.raises(LocatorExpired):
        await anext(bench.salesforce.resume(first.locator))


@pytest.mark.parametrize(
    "value", ["O'Brien", "a\\", "\\'", "' OR Name != '", "line\nbreak", 'tab\t"quoted"', "50% of a_b", "é+&#?", "😀"]
)
async def test_hostile_values_are_found_as_they_were_written(bench: Bench, value: str) -> None:
    bench.org.load({"Account": [{"Name": "other"}]})
    (saved,) = await bench.salesforce.create("Account", [{"Name": value}])
    assert isinstance(saved, Saved)
    statement = soql("SELECT {names} FROM Account WHERE Name = {value}", names=Names(["Id", "Name"]), value=value)
    assert [(row["Id"], row["Name"]) for row in await bench.rows(statement)] == [(saved.id, value)]


async def test_long_lists_are_asked_for_in_chunks(bench: Bench) -> None:
    emails = [f"o'brien+{n}@customers.example" for n in range(900)]
    bench.org.load({"Contact": [{"LastName": "Ng", "Email": email} for email in emails]})
    found = [
        row["Email"]
        for statement in chunks("SELECT Email FROM Contact WHERE Email IN {emails}", over="emails", emails=emails)
        for row in await bench.rows(statement)
    ]
    assert sorted(found) == sorted(emails)
    with pytest.raises(Fatal, match="several statements"):
        await bench.rows(soql("SELECT Email FROM Contact WHERE Email IN {emails}", emails=emails))


async def test_changes_of_a_stretch_of_time(bench: Bench) -> None:
    (saved,) = await bench.salesforce.create("Account", [{"Name": "A"}])
    assert isinstance(saved, Saved)
    await bench.salesforce.create("Account", [{"Name": "B"}])
    await bench.salesforce.delete([saved.id])
    bench.clock.now += timedelta(minutes=10)
    window = (bench.clock.now - timedelta(hours=1), bench.clock.now)
    updated = await bench.salesforce.updated("Account", *window)
    deleted = await bench.salesforce.deleted("Account", *window)
    assert len(updated.ids) == 1
    assert [id_ for id_, _ in deleted.ids] == [saved.id]
    assert deleted.ids[0][1] == bench.clock.now - timedelta(minutes=10)
    with pytest.raises(RecordRejected) as raised:
        await bench.salesforce.deleted("Account", window[0] - timedelta(days=400), window[1])
    assert raised.value.code == "INVALID_REPLICATION_DATE"


# Faults


async def test_an_ended_session_is_renewed_once_for_everyone(bench: Bench) -> None:
    await bench.salesforce.connect()
    bench.org.sessions.end_all()
    await asyncio.gather(*(bench.salesforce.limits() for _ in range(30)))
    assert bench.org.stats.calls["auth"] == 2


@pytest.mark.parametrize("fault", ["error_html", "error_json", "throttle", "drop_after", "expire_session"])
async def test_a_read_outlives(bench: Bench, fault: Any) -> None:
    bench.org.load({"Account": [{"Name": f"A{n}"} for n in range(450)]})
    bench.strike(Fault(fault, next=1, kinds=("query",)))
    assert len(await bench.rows("SELECT Id FROM Account", page_size=200)) == 450
    assert bench.org.faults.struck[fault] == 1


async def test_a_lost_creation_is_not_repeated(bench: Bench) -> None:
    bench.strike(Fault("drop_after", next=1, kinds=("write",)))
    with pytest.raises(OutcomeUnknown):
        await bench.salesforce.create("Account", [{"Name": "A"}])
    assert bench.names() == ["A"]


@pytest.mark.parametrize("fault", ["lock_request", "throttle", "expire_session"])
async def test_a_creation_that_was_not_carried_out_is_repeated(bench: Bench, fault: Any) -> None:
    bench.strike(Fault(fault, next=2, kinds=("write",), status=500 if fault == "lock_request" else 0))
    if fault == "expire_session":
        bench.org.faults.rules[0].next = 1
    (saved,) = await bench.salesforce.create("Account", [{"Name": "A"}])
    assert isinstance(saved, Saved)
    assert bench.names() == ["A"]


@pytest.mark.parametrize("fault", ["drop_after", "error_html", "error_json", "lock_request"])
async def test_an_upsert_is_repeated_and_writes_once(bench: Bench, fault: Any) -> None:
    bench.strike(Fault(fault, next=2, kinds=("write",)))
    (saved,) = await bench.salesforce.upsert("Account", "Hub_Id__c", [{"Hub_Id__c": "7", "Name": "A"}])
    assert isinstance(saved, Saved)
    assert bench.names() == ["A"]


async def test_a_locked_row_comes_back_alone(bench: Bench) -> None:
    new = await bench.salesforce.create("Account", [{"Name": "A"}, {"Name": "B"}])
    ids = [saved.id for saved in new if isinstance(saved, Saved)]
    bench.strike(Fault("lock_row", next=1))
    locked, saved = await bench.salesforce.update("Account", [{"Id": id_, "Phone": "1"} for id_ in ids])
    assert type(locked) is Transient
    assert saved == Saved(ids[1])


async def test_one_unreadable_value_rejects_its_own_row_only(bench: Bench) -> None:
    rows: list[dict[str, Any]] = [{"LastName": f"N{n}", "Birthdate": "1990-01-02"} for n in range(200)]
    rows[57]["Birthdate"] = "tomorrow"
    outcomes = await bench.salesforce.create("Contact", rows)
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Saved)] == [57]
    assert len(bench.org.records("Contact")) == 199
    assert bench.salesforce.calls["write"] < 20


async def test_a_used_up_quota_is_throttling() -> None:
    async with running(Options(client_secret=SECRET, quota=2)) as bench:
        await bench.salesforce.limits()
        await bench.salesforce.limits()
        with pytest.raises(Throttled) as raised:
            await bench.client(budget=0.0).limits()
        assert raised.value.retry_after == 60


async def test_everything_fails_at_random_and_upserts_still_end_up_right(bench: Bench) -> None:
    """Rows whose outcome is Transient are sent again, as a writer does."""
    bench.strike(*(Fault(name, probability=0.2) for name in ("error_html", "throttle", "drop_after", "expire_session")))
    bench.org.faults.rules += [Fault("lock_row", probability=0.05), Fault("lock_request", probability=0.2)]
    waiting = [{"Hub_Id__c": str(n), "Name": f"A{n}"} for n in range(1000)]
    while waiting:
        try:
            outcomes = await bench.salesforce.upsert("Account", "Hub_Id__c", waiting)
        except (Transient, SessionExpired):
            continue
        assert not any(isinstance(outcome, RecordRejected) for outcome in outcomes)
        waiting = [row for row, outcome in zip(waiting, outcomes, strict=True) if isinstance(outcome, Transient)]
    assert bench.names() == sorted(f"A{n}" for n in range(1000))
    assert len(bench.org.faults.struck) == 6


# The transport: whatever a peer does, aiohttp's errors stay inside.

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(text: bytes) -> Behaviour:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@asynccontextmanager
async def peer(behaviour: Behaviour) -> AsyncIterator[str]:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(b""),
        answering(b"SSH-2.0-OpenSSH_9.6\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        silent,
    ],
    ids=["hangs up", "no http", "cut off", "no gzip", "no chunk", "silent"],
)
async def test_a_peer_that_breaks_the_rules_leaves_the_outcome_unknown(behaviour: Behaviour) -> None:
    async with peer(behaviour) as url, aiohttp.ClientSession() as session:
        send = HttpTransport(session, timeout=0.2)
        token = uuid4().hex
        with pytest.raises(OutcomeUnknown, match=r"127\.0\.0\.1") as raised:
            await send("POST", f"{url}/services/data", {"Authorization": f"Bearer {token}"}, token.encode())
    assert token not in "".join(format_exception(raised.value))


async def test_a_peer_that_is_not_there_was_sent_nothing() -> None:
    async with peer(silent) as url:
        pass
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Transient, match="cannot be reached") as raised:
            await HttpTransport(session)("POST", url, {}, b"{}")
    assert not isinstance(raised.value, OutcomeUnknown)


async def test_a_creation_waits_for_a_peer_that_comes_back(bench: Bench) -> None:
    """Nothing was sent to it while it was away, so nothing can be doubled."""
    real, away = HttpTransport(bench.session), iter([True, True])

    async def flaky(method: Method, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        if "composite" in url and next(away, False):
            url = url.replace(bench.url, "http://127.0.0.1:1")
        return await real(method, url, headers, body)

    await bench.client(transport=flaky).create("Account", [{"Name": "A"}])
    assert bench.names() == ["A"]
    assert next(away, None) is None


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    moved = answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    async with peer(moved) as url, aiohttp.ClientSession() as session:
        with pytest.raises(Fatal, match="My Domain"):
            await client(session, url).connect()


@pytest.mark.parametrize("url", ["http://", "http://exa mple", "ftp://127.0.0.1", "http://[::1", "http://.."])
async def test_a_wrong_address_is_fatal(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Fatal):
            await client(session, url, budget=0.0).connect()


async def test_tls_is_checked(tmp_path: Path) -> None:
    org = Org(options=Options(client_secret=SECRET))
    async with serve(org, tls=tmp_path) as url:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(Fatal, match="certificate"):
                await client(session, url).connect()
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session:
            await client(session, url).connect()


async def test_calls_at_once_are_bounded(bench: Bench) -> None:
    bench.org.latency.least = 0.01
    running_now = most = 0
    transport = HttpTransport(bench.session, concurrency=3)
    original = bench.session.request

    def counted(*args: Any, **kwargs: Any) -> Any:
        context = original(*args, **kwargs)

        class Counted:
            async def __aenter__(self) -> Any:
                nonlocal running_now, most
                running_now += 1
                most = max(most, running_now)
                return await context.__aenter__()

            async def __aexit__(self, *exc: Any) -> None:
                nonlocal running_now
                running_now -= 1
                await context.__aexit__(*exc)

        return Counted()

    bench.session.request = counted  # type: ignore[method-assign]
    await asyncio.gather(*(transport("GET", f"{bench.url}/services/data", {}, None) for _ in range(12)))
    assert most == 3
