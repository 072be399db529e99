"""The loop around the protocol: sessions, retries, pages, rows. Time passes only when the client sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from syncline.contracts.errors import Fatal, RecordRejected, SessionExpired, Throttled, Transient
from syncline.salesforce.collections import Saved
from syncline.salesforce.errors import LocatorExpired, OutcomeUnknown
from syncline.salesforce.protocol import Limits, Request
from tests.unit.salesforce.world import (
    EXPIRED,
    FLOW,
    INSTANCE,
    LOCKED,
    OVERLOADED,
    Answer,
    Scripted,
    Sent,
    Time,
    connected,
    error,
    reply,
)

READ = Request("GET", "/limits/", "read")
CREATE = Request("POST", "/sobjects/Account", "write", body=b"{}")
UPDATE = Request("PATCH", "/sobjects/Account/001", "write", body=b"{}")
LOST = OutcomeUnknown("the connection broke")


async def test_the_first_call_logs_in_and_takes_the_newest_version() -> None:
    transport = Scripted([reply(content={"ok": True})])
    salesforce = connected(transport, app_name="hubsync")
    assert await salesforce.request(READ) == {"ok": True}
    (sent,) = transport.sent
    assert sent.url == f"{INSTANCE}/services/data/v67.0/limits/"
    assert sent.token == "token-1"
    assert sent.headers["Sforce-Call-Options"] == "client=hubsync"
    assert salesforce.api_version == "67.0"
    assert salesforce.calls == {"auth": 1, "read": 2}


async def test_a_given_version_is_not_asked_for() -> None:
    transport = Scripted([reply(content={})], versions=None)
    await connected(transport, api_version="v60.0").request(READ)
    assert transport.sent[0].path == "/services/data/v60.0/limits/"


def test_an_old_version_is_refused_at_once() -> None:
    with pytest.raises(Fatal, match=r"57\.0"):
        connected(Scripted([]), api_version="56.0")


async def test_usage_time_and_each_call_are_observed() -> None:
    seen: list[tuple[str, int]] = []
    date = "Fri, 20 Nov 2026 10:00:07 GMT"
    transport = Scripted(
        [reply(content={}, sforce_limit_info="api-usage=18/5000", date=date), OVERLOADED, LOST, reply(content={})]
    )
    salesforce = connected(transport, on_call=lambda kind, status, seconds: seen.append((kind, status)))
    await salesforce.connect()
    assert (salesforce.usage, salesforce.server_time) == (None, None)
    await salesforce.request(READ)
    await salesforce.request(READ)
    assert salesforce.usage == Limits(18, 5000)
    assert salesforce.server_time == datetime(2026, 11, 20, 10, 0, 7, tzinfo=UTC)
    assert seen == [("auth", 200), ("read", 200), ("read", 200), ("read", 503), ("read", 0), ("read", 200)]
    assert salesforce.calls == {"auth": 1, "read": 5}


async def test_callers_at_the_same_time_share_one_login() -> None:
    transport = Scripted(lambda sent: reply(content={}))
    salesforce = connected(transport)
    await asyncio.gather(*(salesforce.request(READ) for _ in range(20)))
    assert salesforce.calls["auth"] == 1


async def test_callers_that_meet_an_expired_session_share_one_refresh() -> None:
    transport = Scripted(lambda sent: EXPIRED if sent.token == "token-1" else reply(content={}))
    salesforce = connected(transport)
    await asyncio.gather(*(salesforce.request(READ) for _ in range(20)))
    assert salesforce.calls["auth"] == 2
    assert len(transport.sent) == 40


async def test_late_news_of_an_old_expiry_does_not_log_in_again() -> None:
    release = asyncio.Event()

    class Slow(Scripted):
        async def __call__(self, *call: object) -> object:  # type: ignore[override]
            answer = await super().__call__(*call)  # type: ignore[arg-type]
            if answer is EXPIRED and self.sent[-1].query:
                await release.wait()
            return answer

    transport = Slow(lambda sent: EXPIRED if sent.token == "token-1" else reply(content={}))
    salesforce = connected(transport)
    late = asyncio.ensure_future(salesforce.request(Request("GET", "/limits/", "read", query={"late": "1"})))
    while not transport.sent:
        await asyncio.sleep(0)
    await salesforce.request(READ)
    release.set()
    await late
    assert salesforce.calls["auth"] == 2


async def test_a_session_that_expires_again_at_once_is_raised() -> None:
    transport = Scripted([EXPIRED, EXPIRED])
    salesforce = connected(transport)
    with pytest.raises(SessionExpired):
        await salesforce.request(READ)
    assert salesforce.calls["auth"] == 2


async def test_a_session_that_no_login_can_cure_is_fatal_at_once() -> None:
    transport = Scripted([error("INVALID_SESSION_ID", 401, "This session is not valid for use with the REST API")])
    salesforce = connected(transport)
    with pytest.raises(Fatal, match="scope"):
        await salesforce.request(READ)
    assert salesforce.calls["auth"] == 1


async def test_a_refused_login_is_tried_once_for_all_callers() -> None:
    refused = reply(400, {"error": "invalid_grant", "error_description": "authentication failure"})
    transport = Scripted([], logins=[refused])
    salesforce = connected(transport)
    raised = await asyncio.gather(*(salesforce.request(READ) for _ in range(5)), return_exceptions=True)
    assert [type(exc) for exc in raised] == [Fatal] * 5
    assert salesforce.calls["auth"] == 1


async def test_a_login_survives_the_caller_who_began_it() -> None:
    transport = Scripted(lambda sent: reply(content={}))
    salesforce = connected(transport)
    first = asyncio.ensure_future(salesforce.request(READ))
    second = asyncio.ensure_future(salesforce.request(READ))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {}
    assert salesforce.calls["auth"] == 1


async def test_a_login_is_repeated_while_salesforce_is_away() -> None:
    passing = Time()
    transport = Scripted([reply(content={})], logins=[OVERLOADED, LOST])
    await connected(transport, passing=passing).request(CREATE)
    assert len(passing.waits) == 2


async def test_a_lost_login_says_nothing_of_the_call_that_waits_for_it() -> None:
    transport = Scripted([], logins=[LOST] * 99)
    with pytest.raises(Transient) as raised:
        await connected(transport).request(CREATE)
    assert not isinstance(raised.value, OutcomeUnknown)


@pytest.mark.parametrize("answer", [OVERLOADED, LOST, LOCKED, Transient("no route")])
@pytest.mark.parametrize("request_", [READ, UPDATE, Request("POST", "/composite/sobjects/Account", "read")])
async def test_what_is_idempotent_is_repeated(answer: Answer, request_: Request) -> None:
    passing = Time()
    transport = Scripted([answer, answer, answer, reply(content={"ok": True})])
    with capture_logs() as logs:
        assert await connected(transport, passing=passing).request(request_) == {"ok": True}
    assert len(passing.waits) == 3
    assert len(set(passing.waits)) == 3
    assert [entry["event"] for entry in logs].count("salesforce call repeated") == 3


@pytest.mark.parametrize("answer", [OVERLOADED, LOST, reply(200, b"<html>"), error("SERVER_UNAVAILABLE", 503)])
async def test_a_creation_of_unknown_outcome_is_not_repeated(answer: Answer) -> None:
    transport = Scripted([answer])
    with pytest.raises(OutcomeUnknown):
        await connected(transport).request(CREATE)
    assert len(transport.sent) == 1


@pytest.mark.parametrize("answer", [LOCKED, EXPIRED, Transient("no route"), error("REQUEST_LIMIT_EXCEEDED", 403)])
async def test_a_creation_that_was_surely_not_carried_out_is_repeated(answer: Answer) -> None:
    transport = Scripted([answer, reply(201, {"id": "001"})])
    assert await connected(transport).request(CREATE) == {"id": "001"}


async def test_waits_grow_to_a_ceiling_and_end_with_the_budget() -> None:
    passing = Time()
    transport = Scripted(lambda sent: OVERLOADED)
    with pytest.raises(OutcomeUnknown):
        await connected(transport, passing=passing, budget=300.0).request(READ)
    assert passing.passed <= 300
    assert max(passing.waits) <= 30
    assert sum(passing.waits[:3]) < 1.5 < max(passing.waits)


async def test_salesforces_own_hint_is_kept_and_one_beyond_the_budget_is_raised_at_once() -> None:
    passing = Time()
    transport = Scripted([reply(503, retry_after="20"), reply(503, retry_after="500")])
    with pytest.raises(Transient) as raised:
        await connected(transport, passing=passing).request(READ)
    assert passing.waits == [20.0]
    assert raised.value.retry_after == 500


async def test_throttling_is_raised_when_the_budget_is_over() -> None:
    transport = Scripted(lambda sent: error("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."))
    with pytest.raises(Throttled):
        await connected(transport, budget=150.0).request(READ)
    assert len(transport.sent) == 3


async def test_rejections_are_not_repeated() -> None:
    transport = Scripted([error("STRING_TOO_LONG")])
    with pytest.raises(RecordRejected):
        await connected(transport).request(UPDATE)


# Pages


def page(*ids: int, total: int, rest: str | None = None) -> Answer:
    more = {"nextRecordsUrl": f"/services/data/v67.0/query/{rest}"} if rest else {}
    return reply(content={"totalSize": total, "done": not rest, "records": [{"Id": id_} for id_ in ids], **more})


async def test_pages_to_the_end() -> None:
    transport = Scripted(
        [page(1, 2, total=5, rest="01g-2"), OVERLOADED, page(3, 4, total=5, rest="01g-4"), page(5, total=5)]
    )
    pages = [page async for page in connected(transport).query("SELECT Id FROM Account", page_size=200)]
    assert [[record["Id"] for record in page.records] for page in pages] == [[1, 2], [3, 4], [5]]
    assert {page.total for page in pages} == {5}
    assert [sent.path.rpartition("/")[2] for sent in transport.sent] == ["query", "01g-2", "01g-2", "01g-4"]
    assert transport.sent[0].query == {"q": "SELECT Id FROM Account"}
    assert transport.sent[0].headers["Sforce-Query-Options"] == "batchSize=200"


async def test_a_result_goes_on_from_a_locator() -> None:
    transport = Scripted([page(1, total=3, rest="01g-1"), page(2, total=3, rest="01g-2"), page(3, total=3)])
    salesforce = connected(transport)
    first = await anext(salesforce.query("SELECT Id FROM Account", include_deleted=True))
    assert first.locator == "/services/data/v67.0/query/01g-1"
    rest = [record["Id"] async for page in salesforce.resume(first.locator) for record in page.records]
    assert rest == [2, 3]
    assert transport.sent[0].path.endswith("/queryAll")


async def test_a_dead_locator_is_told_apart() -> None:
    transport = Scripted(
        [page(1, total=2, rest="01g-1"), error("INVALID_QUERY_LOCATOR", message="invalid query locator")]
    )
    with pytest.raises(LocatorExpired):
        async for _ in connected(transport).query("SELECT Id FROM Account"):
            pass


async def test_child_sets_are_completed() -> None:
    contacts = {
        "totalSize": 3,
        "done": False,
        "nextRecordsUrl": "/services/data/v67.0/query/01g-c",
        "records": [{"Id": 1}],
    }
    transport = Scripted(
        [
            reply(content={"totalSize": 1, "done": True, "records": [{"Id": 0, "Contacts": contacts}]}),
            page(2, total=3, rest="01g-d"),
            page(3, total=3),
        ]
    )
    (whole,) = [page async for page in connected(transport).query("SELECT Id, (SELECT Id FROM Contacts) FROM Account")]
    children = whole.records[0]["Contacts"]
    assert children["done"]
    assert [record["Id"] for record in children["records"]] == [1, 2, 3]


# Rows


def saving(sent: Sent) -> Answer:
    return reply(content=[{"id": row["Name"], "success": True, "errors": []} for row in sent.json["records"]])


def rows(count: int) -> list[dict[str, str]]:
    return [{"Name": f"a{number}"} for number in range(count)]


async def test_rows_go_out_200_a_call_and_come_back_in_order() -> None:
    transport = Scripted(saving)
    outcomes = await connected(transport).create("Account", rows(450))
    assert outcomes == [Saved(f"a{number}", created=True) for number in range(450)]
    assert [len(sent.json["records"]) for sent in transport.sent] == [200, 200, 50]
    assert transport.sent[0].headers["Sforce-Auto-Assign"] == "FALSE"


async def test_no_rows_no_call() -> None:
    transport = Scripted([])
    salesforce = connected(transport)
    assert await salesforce.create("Account", []) == []
    assert await salesforce.delete([]) == []
    assert await salesforce.retrieve("Account", [], ["Id"]) == []
    assert salesforce.calls == {}


async def test_each_kind_of_write_and_read_has_its_call() -> None:
    ok = {"id": "001", "success": True, "errors": []}
    transport = Scripted(
        [reply(content=[ok]), reply(content=[{**ok, "created": True}]), reply(content=[ok]), reply(content=[None])]
    )
    salesforce = connected(transport)
    assert await salesforce.update("Account", [{"Id": "001", "Name": "A"}]) == [Saved("001")]
    assert await salesforce.upsert("Account", "Hub_Id__c", [{"Hub_Id__c": "7"}]) == [Saved("001", created=True)]
    assert await salesforce.delete(["001"]) == [Saved("001")]
    assert await salesforce.retrieve("Account", ["001"], ["Name"]) == [None]
    assert [(sent.method, sent.path.removeprefix("/services/data/v67.0/composite/")) for sent in transport.sent] == [
        ("PATCH", "sobjects"),
        ("PATCH", "sobjects/Account/Hub_Id__c"),
        ("DELETE", "sobjects"),
        ("POST", "sobjects/Account"),
    ]


async def test_retrieve_asks_for_2000_a_call() -> None:
    transport = Scripted(lambda sent: reply(content=[{"Id": id_} for id_ in sent.json["ids"]]))
    ids = [str(number) for number in range(4100)]
    found = await connected(transport).retrieve("Contact", ids, ["Id"])
    assert [record and record["Id"] for record in found] == ids
    assert [len(sent.json["ids"]) for sent in transport.sent] == [2000, 2000, 100]


async def test_a_creation_whose_first_call_is_lost_raises() -> None:
    transport = Scripted([LOST])
    with pytest.raises(OutcomeUnknown):
        await connected(transport).create("Account", rows(450))
    assert len(transport.sent) == 1


async def test_a_creation_that_is_lost_halfway_keeps_what_is_known() -> None:
    def second_is_lost(sent: Sent) -> Answer:
        return saving(sent) if sent.json["records"][0]["Name"] == "a0" else LOST

    transport = Scripted(second_is_lost)
    outcomes = await connected(transport).create("Account", rows(650))
    assert all(isinstance(outcome, Saved) for outcome in outcomes[:200])
    assert all(isinstance(outcome, OutcomeUnknown) for outcome in outcomes[200:400])
    assert all(type(outcome) is Transient for outcome in outcomes[400:])
    assert (len(outcomes), len(transport.sent)) == (650, 2)


async def test_an_upsert_is_repeated_until_it_is_answered() -> None:
    done = reply(content=[{"id": "001", "success": True, "errors": [], "created": False}])
    transport = Scripted([LOST, OVERLOADED, done])
    assert await connected(transport).upsert("Account", "Hub_Id__c", [{"Hub_Id__c": "7"}]) == [Saved("001")]


@pytest.mark.parametrize("bad", [{0}, {199}, {3, 77, 78, 230}])
async def test_a_value_that_fails_a_whole_call_is_found(bad: set[int]) -> None:
    names = {f"a{number}" for number in bad}

    def reads(sent: Sent) -> Answer:
        if names & {row["Name"] for row in sent.json["records"]}:
            return error("JSON_PARSER_ERROR", message="Cannot deserialize instance of date")
        return saving(sent)

    outcomes = await connected(Scripted(reads)).create("Account", rows(250))
    assert {number for number, outcome in enumerate(outcomes) if isinstance(outcome, RecordRejected)} == bad
    assert [outcome.id for outcome in outcomes if isinstance(outcome, Saved)] == [
        f"a{number}" for number in range(250) if number not in bad
    ]


async def test_a_value_that_is_no_json_stands_alone_too() -> None:
    transport = Scripted(saving)
    first, second = await connected(transport).create("Account", [{"Name": "a"}, {"Name": "b", "Fax": "\ud800"}])
    assert first == Saved("a", created=True)
    assert isinstance(second, RecordRejected)


async def test_a_field_that_does_not_exist_rejects_every_row_for_the_price_of_one_call() -> None:
    transport = Scripted([error("INVALID_FIELD", message="No such column 'Tier__c' on sobject of type Account")])
    outcomes = await connected(transport).create("Account", rows(3))
    assert [outcome.code for outcome in outcomes if isinstance(outcome, RecordRejected)] == ["INVALID_FIELD"] * 3


async def test_no_secret_reaches_a_log_or_an_error() -> None:
    transport = Scripted([EXPIRED, OVERLOADED, EXPIRED, EXPIRED])
    salesforce = connected(transport)
    with capture_logs() as logs, pytest.raises(SessionExpired) as raised:
        await salesforce.request(READ)
    assert logs
    for text in (repr(logs), str(raised.value), repr(raised.value), repr(salesforce)):
        assert "token-" not in text
        assert FLOW.client_secret not in text
