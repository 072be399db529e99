"""The simulated org over HTTP: addresses, statuses, headers, and the shapes of its replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import ClientSession

from syncline.simorg import DEMO, Fault, Options, Org, Schema, serve

V = "/services/data/v67.0"


@dataclass(slots=True)
class Reply:
    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str:
        """Of an error in Salesforce's shape."""
        assert list(self.body[0])[:2] == ["message", "errorCode"]
        return str(self.body[0]["errorCode"])


@dataclass(slots=True)
class Client:
    url: str
    session: ClientSession

    async def __call__(self, method: str, path: str, **kwargs: Any) -> Reply:
        async with self.session.request(method, self.url + path, **kwargs) as response:
            raw = await response.read()
            body = orjson.loads(raw) if response.content_type == "application/json" and raw else raw
            return Reply(response.status, response.headers, body)

    async def query(self, soql: str, **headers: str) -> Reply:
        return await self("GET", f"{V}/query", params={"q": soql}, headers=headers)

    async def log_in(self, org: Org) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": org.options.client_id,
            "client_secret": org.options.client_secret,
        }
        reply = await self("POST", "/services/oauth2/token", data=form)
        self.session.headers["Authorization"] = f"Bearer {reply.body['access_token']}"


@asynccontextmanager
async def client_of(org: Org) -> AsyncIterator[Client]:
    async with serve(org) as url, ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        client = Client(url, session)
        await client.log_in(org)
        yield client


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> Org:
    return Org(Schema.standard(DEMO), clock=clock)


@pytest.fixture
async def client(org: Org) -> AsyncIterator[Client]:
    async with client_of(org) as client:
        yield client


async def test_versions_need_no_session_and_cost_nothing(org: Org, client: Client) -> None:
    del client.session.headers["Authorization"]
    reply = await client("GET", "/services/data")
    assert reply.body[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert reply.body[-2]["label"] == "Spring '26"
    assert reply.body[-3]["label"] == "Winter '26"
    assert "57.0" in [version["version"] for version in reply.body]
    assert "Sforce-Limit-Info" not in reply.headers
    assert org.usage.used(org.clock()) == 0


async def test_every_counted_reply_tells_usage_and_the_orgs_time(client: Client) -> None:
    for number, path in enumerate((V, f"{V}/sobjects", f"{V}/sobjects/Nope/describe"), start=1):
        reply = await client("GET", path)
        assert reply.headers["Sforce-Limit-Info"] == f"api-usage={number}/100000"
        assert reply.headers["Date"] == "Fri, 20 Nov 2026 10:00:00 GMT"
    assert (await client("GET", f"{V}/limits")).body == {"DailyApiRequests": {"Max": 100000, "Remaining": 99996}}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/services/data/v67.0/nope", 404, "NOT_FOUND"),
        ("GET", "/services/data/v68.0/sobjects", 404, "NOT_FOUND"),
        ("GET", "/services/data/v67.1/sobjects", 404, "NOT_FOUND"),
        ("GET", "/services/data/vX/sobjects", 404, "NOT_FOUND"),
        ("GET", f"{V}/sobjects/Nope", 404, "NOT_FOUND"),
        ("GET", f"{V}/sobjects/Account/0015e00000Ab1CdAAJ", 404, "NOT_FOUND"),
        ("GET", f"{V}/sobjects/Account/23foo", 404, "NOT_FOUND"),
        ("GET", f"{V}/sobjects/Account/Namez/1", 404, "NOT_FOUND"),
        ("PATCH", f"{V}/sobjects/Account", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", f"{V}/query", 405, "METHOD_NOT_ALLOWED"),
        ("POST", f"{V}/sobjects/Account", 400, "JSON_PARSER_ERROR"),
        ("DELETE", f"{V}/sobjects/Account/0015e00000Ab1CdAAJ", 404, "INVALID_CROSS_REFERENCE_KEY"),
        ("GET", f"{V}/query", 400, "MALFORMED_QUERY"),
        ("GET", f"{V}/query/01g5e0000000001AAA-2000", 400, "INVALID_QUERY_LOCATOR"),
        ("GET", f"{V}/sobjects/Account/updated", 400, "MISSING_ARGUMENT"),
        ("GET", f"{V}/sobjects/Account/updated?start=x&end=y", 400, "INVALID_REPLICATION_DATE"),
        ("GET", f"{V}/query?q={'x' * 16_384}", 414, "URI_TOO_LONG"),
        ("DELETE", f"{V}/composite/sobjects", 400, "MISSING_ARGUMENT"),
    ],
)
async def test_errors_have_salesforces_shape_and_status(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    reply = await client(method, path)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "JSON_PARSER_ERROR"),
        (b"[]", "application/json", 400, "JSON_PARSER_ERROR"),
        (b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"Name":"A","Nope":1}', "application/json", 400, "INVALID_FIELD"),
        (b'{"Name":"A"}', "application/json; charset=utf-8", 201, ""),
    ],
)
async def test_bodies_must_be_json(client: Client, body: bytes, content_type: str, status: int, code: str) -> None:
    reply = await client("POST", f"{V}/sobjects/Account", data=body, headers={"Content-Type": content_type})
    assert reply.status == status
    if code:
        assert reply.code == code


async def test_life_of_a_record(client: Client) -> None:
    created = await client("POST", f"{V}/sobjects/account/", json={"Name": " Acme "})
    id18 = created.body["id"]
    address = f"{V}/sobjects/Account/{id18}"
    assert (created.status, created.body) == (201, {"id": id18, "success": True, "errors": []})
    assert created.headers["Location"] == address
    read = await client("GET", f"{V}/sobjects/Account/{id18[:15]}?fields=name,BillingAddress")
    assert read.body == {
        "attributes": {"type": "Account", "url": address},
        "Name": "Acme",
        "BillingAddress": None,
        "Id": id18,
    }
    whole = (await client("GET", address)).body
    assert whole["Phone"] is None
    assert whole["SystemModstamp"] == "2026-11-20T10:00:00.000+0000"
    changed = await client("PATCH", address, json={"Phone": "1"})
    assert (changed.status, changed.body) == (204, b"")
    tunnelled = await client("POST", f"{address}?_HttpMethod=PATCH", json={"Fax": "2"})
    assert tunnelled.status == 204
    assert (await client("POST", address, json={"Fax": "2"})).status == 405
    whole = (await client("GET", address)).body
    assert (whole["Phone"], whole["Fax"]) == ("1", "2")
    assert (await client("DELETE", address)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await client(method, address, **({"json": {}} if method == "PATCH" else {}))
        assert (gone.status, gone.code) == (404, "ENTITY_IS_DELETED")


async def test_upsert_by_external_id(client: Client) -> None:
    address = f"{V}/sobjects/Account/Hub_Id__c/A%2F1%20%2B"
    refused = await client("PATCH", f"{address}?updateOnly=true", json={"Name": "A"})
    assert (refused.status, refused.code) == (404, "NOT_FOUND")
    created = await client("PATCH", address, json={"Name": "Acme"})
    id18 = created.body["id"]
    assert (created.status, created.body) == (201, {"id": id18, "success": True, "errors": [], "created": True})
    updated = await client("PATCH", address, json={"Phone": "1"})
    assert (updated.status, updated.body) == (200, {"id": id18, "success": True, "errors": [], "created": False})
    assert (await client("GET", address)).body["Hub_Id__c"] == "A/1 +"
    repeated = await client("PATCH", address, json={"hub_id__c": "A/1 +"})
    assert (repeated.status, repeated.code) == (400, "INVALID_FIELD")
    by_id = await client("PATCH", f"{V}/sobjects/Account/Id/{id18}", json={"Phone": "2"})
    assert (by_id.status, by_id.body["created"]) == (200, False)
    assert (await client("POST", f"{V}/sobjects/Account/Id", json={"Name": "B"})).status == 201
    assert (await client("DELETE", address)).status == 204
    assert (await client("GET", address)).status == 404


async def test_key_of_several_records_answers_their_addresses(org: Org, client: Client) -> None:
    ids = org.load({"Contact": [{"LastName": name, "Email": "a@b.de"} for name in ("Ng", "Oz")]})["Contact"]
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"Phone": "1"}} if method == "PATCH" else {}
        reply = await client(method, f"{V}/sobjects/Contact/Email/a@b.de", **body)
        assert (reply.status, reply.body) == (300, [f"{V}/sobjects/Contact/{id18}" for id18 in ids])


async def test_query_pages_to_the_end(org: Org, client: Client) -> None:
    org.load({"Account": [{"Name": f"{number:04}"} for number in range(4_500)]})
    seen: list[str] = []
    page = (await client.query("SELECT Name FROM Account ORDER BY Name")).body
    org.load({"Account": [{"Name": "later"}]})
    while True:
        assert list(page) == ["totalSize", "done"] + ([] if page["done"] else ["nextRecordsUrl"]) + ["records"]
        assert page["totalSize"] == 4_500
        assert len(page["records"]) <= 2_000
        seen += [record["Name"] for record in page["records"]]
        if page["done"]:
            break
        again = await client("GET", page["nextRecordsUrl"])
        page = (await client("GET", page["nextRecordsUrl"])).body
        assert again.body == page
    assert seen == [f"{number:04}" for number in range(4_500)]


@pytest.mark.parametrize(("wish", "size"), [("batchSize=500", 500), ("batchSize=1", 200), ("batchSize=9999", 2_000)])
async def test_page_size_follows_the_clients_wish_within_bounds(org: Org, client: Client, wish: str, size: int) -> None:
    org.load({"Account": [{"Name": str(number)} for number in range(2_001)]})
    headers = {"Sforce-Query-Options": wish, "Sforce-Call-Options": "client=test"}
    page = (await client.query("SELECT Id FROM Account", **headers)).body
    assert len(page["records"]) == size
    assert page["nextRecordsUrl"].endswith(f"-{size}")


async def test_locators_die_after_two_days(org: Org, clock: Clock, client: Client) -> None:
    org.load({"Account": [{"Name": str(number)} for number in range(2_001)]})
    page = (await client.query("SELECT Id FROM Account")).body
    clock.now += timedelta(days=2)
    await client.log_in(org)
    reply = await client("GET", page["nextRecordsUrl"])
    assert (reply.status, reply.code) == (400, "INVALID_QUERY_LOCATOR")


async def test_query_all_shows_deleted_rows(org: Org, client: Client) -> None:
    org.load({"Account": [{"Name": "A"}, {"Name": "B", "deleted": True}]})
    soql = "SELECT Name, IsDeleted FROM Account ORDER BY Name"
    assert (await client.query(soql)).body["totalSize"] == 1
    rows = (await client("GET", f"{V}/queryAll", params={"q": soql})).body["records"]
    assert [row["IsDeleted"] for row in rows] == [False, True]
    assert (await client.query("SELECT COUNT() FROM Account")).body == {"totalSize": 1, "done": True, "records": []}


async def test_collections_over_http(client: Client) -> None:
    rows = [{"attributes": {"type": "Account"}, "Name": str(number), "Hub_Id__c": str(number)} for number in range(3)]
    many = f"{V}/composite/sobjects"
    created = await client("POST", many, json={"allOrNone": True, "records": rows})
    ids = [row["id"] for row in created.body]
    updates = [{"attributes": {"type": "Account"}, "id": id18, "Phone": "1"} for id18 in ids]
    assert [row["success"] for row in (await client("PATCH", many, json={"records": updates})).body] == [True] * 3
    rows.append({"attributes": {"type": "Account"}, "Name": "new", "Hub_Id__c": "new"})
    upserted = await client("PATCH", f"{many}/Account/Hub_Id__c", json={"records": rows})
    assert [row["created"] for row in upserted.body] == [False, False, False, True]
    by_address = await client("GET", f"{many}/Account", params={"ids": ",".join(ids), "fields": "Phone"})
    by_body = await client("POST", f"{many}/Account", json={"ids": ids, "fields": ["Phone"]})
    assert [row["Phone"] for row in by_address.body] == ["1"] * 3
    assert by_body.body == by_address.body
    deleted = await client("DELETE", many, params={"ids": ",".join([*ids, ids[0]]), "allOrNone": "false"})
    assert (deleted.status, [row["success"] for row in deleted.body]) == (200, [True, True, True, False])
    bad = await client("POST", f"{many}/Account", json={"ids": ids, "fields": "Phone"})
    assert (bad.status, bad.code) == (400, "JSON_PARSER_ERROR")


async def test_updated_and_deleted_over_http(org: Org, clock: Clock, client: Client) -> None:
    id18 = (await client("POST", f"{V}/sobjects/Account", json={"Name": "A"})).body["id"]
    clock.now += timedelta(minutes=2)
    window = {"start": "2026-11-20T10:00:00+00:00", "end": "2026-11-20T10:02:00Z"}
    assert (await client("GET", f"{V}/sobjects/Account/updated/", params=window)).body["ids"] == [id18]
    assert (await client("GET", f"{V}/sobjects/Account/deleted/", params=window)).body["deletedRecords"] == []


async def test_dead_session_is_401_until_the_next_login(org: Org, client: Client) -> None:
    for header in ("Bearer nonsense", "Basic eDp5", ""):
        reply = await client("GET", V, headers={"Authorization": header})
        assert (reply.status, reply.body) == (
            401,
            [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}],
        )
        assert "Sforce-Limit-Info" not in reply.headers
    assert (await client("DELETE", "/simorg/sessions")).body == {"ended": 1}
    assert (await client("GET", V)).status == 401
    await client.log_in(org)
    assert (await client("GET", V)).status == 200


async def test_used_up_quota_is_403_and_changes_nothing(org: Org, client: Client) -> None:
    await client("PATCH", "/simorg/settings", json={"quota": 1})
    assert (await client("POST", f"{V}/sobjects/Account", json={"Name": "A"})).status == 201
    refused = await client("POST", f"{V}/sobjects/Account", json={"Name": "B"})
    assert (refused.status, refused.code) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert [row["Name"] for row in org.records("Account")] == ["A"]


async def test_login_errors_are_400(client: Client) -> None:
    reply = await client("POST", "/services/oauth2/token", data={"grant_type": "password"})
    assert (reply.status, reply.body) == (
        400,
        {"error": "unsupported_grant_type", "error_description": "grant type not supported"},
    )


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("error_json", 503, "SERVER_UNAVAILABLE"),
        ("throttle", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("expire_session", 401, "INVALID_SESSION_ID"),
        ("lock_request", 400, "UNABLE_TO_LOCK_ROW"),
        ("lock_row", 400, "UNABLE_TO_LOCK_ROW"),
    ],
)
async def test_fault_refuses_the_next_write_and_nothing_is_done(
    org: Org, client: Client, fault: str, status: int, code: str
) -> None:
    await client("PUT", "/simorg/faults", json={"faults": [{"fault": fault, "next": 1, "kinds": ["write"]}]})
    assert (await client("GET", V)).status == 200
    reply = await client("POST", f"{V}/sobjects/Account", json={"Name": "A"})
    assert (reply.status, reply.code) == (status, code)
    assert org.records("Account") == []
    assert (await client("GET", "/simorg/stats")).body["faults"] == {fault: 1}


async def test_html_error_page_with_a_chosen_status(client: Client) -> None:
    await client("PUT", "/simorg/faults", json={"faults": [{"fault": "error_html", "next": 1, "status": 502}]})
    reply = await client("GET", V)
    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert b"<html>" in reply.body


@pytest.mark.parametrize(("fault", "done"), [("drop_after", ["A"]), ("hang", [])])
async def test_dropped_connection_tells_nothing(org: Org, client: Client, fault: str, done: list[str]) -> None:
    rule = {"fault": fault, "next": 1, "seconds": 0.01}
    await client("PUT", "/simorg/faults", json={"faults": [rule]})
    with pytest.raises(aiohttp.ClientConnectionError):
        await client("POST", f"{V}/sobjects/Account", json={"Name": "A"})
    assert [row["Name"] for row in org.records("Account")] == done


async def test_hanging_call_outlasts_the_clients_patience(org: Org, client: Client) -> None:
    org.faults.rules = [Fault("hang", next=1)]
    with pytest.raises(TimeoutError):
        await client("GET", V, timeout=aiohttp.ClientTimeout(total=0.05))


async def test_server_stops_at_once_while_a_call_hangs() -> None:
    org = Org(options=Options(faults=(Fault("hang", next=1, kinds=("read",)),)))
    async with ClientSession() as session:
        async with serve(org) as url:
            client = Client(url, session)
            await client.log_in(org)
            hanging = asyncio.create_task(client("GET", V))
            while not org.faults.struck:
                await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging


async def test_login_suffers_faults_too(org: Org, client: Client) -> None:
    org.faults.rules = [Fault("error_json", next=1, kinds=("auth",))]
    reply = await client("POST", "/services/oauth2/token", data={"grant_type": "client_credentials"})
    assert (reply.status, reply.code) == (503, "SERVER_UNAVAILABLE")


async def test_statistics_tell_calls_by_kind_and_rows(client: Client) -> None:
    await client("POST", f"{V}/sobjects/Account", json={"Name": "A", "Hub_Id__c": "1"})
    await client("PATCH", f"{V}/sobjects/Account/Hub_Id__c/1", json={"Phone": "1"})
    await client("POST", f"{V}/sobjects/Account", json={})
    await client.query("SELECT Id FROM Account")
    await client("GET", f"{V}/sobjects/Account/Hub_Id__c/1")
    await client("DELETE", f"{V}/sobjects/Account/Hub_Id__c/1")
    assert (await client("GET", "/simorg/stats")).body == {
        "calls": {"auth": 1, "query": 1, "read": 1, "write": 4},
        "rows": {"created": 1, "updated": 1, "deleted": 1},
        "faults": {},
        "api_usage": {"used": 6, "quota": 100000},
    }


async def test_load_and_records_go_around_quota_and_session(org: Org, client: Client) -> None:
    del client.session.headers["Authorization"]
    rows = [{"Name": f"{number}", "SystemModstamp": "2026-01-01T00:00:00Z"} for number in range(3_000)]
    loaded = (await client("POST", "/simorg/load", json={"Account": rows})).body
    assert loaded["loaded"] == {"Account": 3_000}
    records = (await client("GET", "/simorg/records/Account")).body["records"]
    assert [record["Id"] for record in records] == loaded["ids"]["Account"]
    assert records[0]["SystemModstamp"] == "2026-01-01T00:00:00.000+0000"
    assert org.usage.used(org.clock()) == 0
    bad = await client("POST", "/simorg/load", json={"Account": [{}]})
    assert (bad.status, bad.code) == (400, "REQUIRED_FIELD_MISSING")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/simorg/faults", {"faults": [{"fault": "fire"}]}),
        ("PUT", "/simorg/faults", {"rules": []}),
        ("PATCH", "/simorg/settings", {"quota": -1}),
        ("PATCH", "/simorg/settings", {"speed": 1}),
        ("POST", "/simorg/load", {"Account": {"Name": "A"}}),
        ("POST", "/simorg/load", [1]),
    ],
)
async def test_bad_control_requests_are_400_with_a_reason(client: Client, method: str, path: str, body: Any) -> None:
    reply = await client(method, path, json=body)
    assert reply.status == 400
    assert reply.body


async def test_pretty_print_is_the_same_json(client: Client) -> None:
    plain, pretty = await client("GET", V), await client("GET", V, headers={"X-PrettyPrint": "1"})
    assert plain.body == pretty.body
    assert int(pretty.headers["Content-Length"]) > int(plain.headers["Content-Length"])
