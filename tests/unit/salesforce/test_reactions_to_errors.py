"""Each of Salesforce's errors becomes the type that says what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncline.contracts.errors import (
    DuplicateDetected,
    Fatal,
    Malformed,
    RecordRejected,
    SessionExpired,
    SynclineError,
    Throttled,
    Transient,
)
from syncline.salesforce.errors import LocatorExpired, OutcomeUnknown
from syncline.salesforce.protocol import Limits, Reply, Request, decipher, encode
from syncline.salesforce.remedies import CODES, STATUSES
from tests.unit.salesforce.world import error, reply

WRITE = Request("POST", "/sobjects/Account", "write")
QUERY = Request("GET", "/query", "query")


@pytest.mark.parametrize(
    ("answer", "reaction"),
    [
        (error("UNABLE_TO_LOCK_ROW", 400), Transient),
        (error("UNABLE_TO_LOCK_ROW", 500), Transient),
        (error("SERVER_UNAVAILABLE", 503), OutcomeUnknown),
        (reply(503, b"<html>maintenance</html>"), OutcomeUnknown),
        (reply(502), OutcomeUnknown),
        (error("UNKNOWN_EXCEPTION", 500), OutcomeUnknown),
        (reply(200, b"<html>captive portal</html>"), OutcomeUnknown),
        (error("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."), Throttled),
        (reply(429), Throttled),
        (error("INVALID_SESSION_ID", 401, "Session expired or invalid"), SessionExpired),
        (error("INVALID_SESSION_ID", 401, "This session is not valid for use with the REST API"), Fatal),
        (error("INVALID_SESSION_ID", 401, "Connected app is not attached to Agent"), Fatal),
        (error("INVALID_AUTH_HEADER", 401), Fatal),
        (error("API_DISABLED_FOR_ORG", 403), Fatal),
        (reply(403, b"Bad_OAuth_Token"), Fatal),
        (reply(302), Fatal),
        (reply(410), Fatal),
        (reply(414, b"<html>"), Fatal),
        (error("INSUFFICIENT_ACCESS_OR_READONLY", 403), RecordRejected),
        (error("STRING_TOO_LONG"), RecordRejected),
        (error("A_CODE_OF_NEXT_YEAR"), RecordRejected),
        (error("NOT_FOUND", 404), RecordRejected),
        (error("INVALID_QUERY_LOCATOR"), LocatorExpired),
        (reply(400, {"errorCode": "STRING_TOO_LONG", "message": "a gateway unwraps the array"}), RecordRejected),
        (reply(400, ["not an error"]), RecordRejected),
    ],
)
def test_reaction(answer: Reply, reaction: type[SynclineError]) -> None:
    with pytest.raises(SynclineError) as raised:
        decipher(WRITE, answer)
    assert type(raised.value) is reaction
    assert "POST /sobjects/Account" in str(raised.value)


def test_a_query_has_no_record_to_reject() -> None:
    with pytest.raises(Fatal, match="No such column 'Tier__c' on entity 'Account'"):
        decipher(QUERY, error("INVALID_FIELD", message="No such column 'Tier__c' on entity 'Account'"))


def test_content_is_decoded_and_no_content_is_none() -> None:
    assert decipher(QUERY, reply(200, {"done": True})) == {"done": True}
    assert decipher(WRITE, reply(204)) is None


def test_a_rejection_names_code_fields_and_remedy() -> None:
    with pytest.raises(RecordRejected, match="Required fields are missing") as raised:
        decipher(WRITE, error("REQUIRED_FIELD_MISSING", message="Required fields are missing: [Name]", fields=["Name"]))
    assert (raised.value.code, raised.value.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
    assert raised.value.remedy == CODES["REQUIRED_FIELD_MISSING"].advice


def test_an_external_id_of_several_records_is_rejected_with_their_ids() -> None:
    addresses = [f"/services/data/v67.0/sobjects/Account/{id_}" for id_ in ("0015e00000Ab1CdAAJ", "0015e00000Ab1CeAAJ")]
    with pytest.raises(RecordRejected, match="0015e00000Ab1CdAAJ, 0015e00000Ab1CeAAJ") as raised:
        decipher(WRITE, reply(300, addresses))
    assert raised.value.code == "DUPLICATE_EXTERNAL_ID"


@pytest.mark.parametrize("key", ["duplicateResut", "duplicateResult"])
def test_a_duplicate_rule_tells_the_records_that_it_found(key: str) -> None:
    matches = [{"record": {"Id": "0035e00000KdXyZAAV"}}, {"record": None}]
    found = {"allowSave": True, "matchResults": [{"matchRecords": matches}, {"matchRecords": None}]}
    more: dict[str, Any] = {key: found}
    with pytest.raises(DuplicateDetected) as raised:
        decipher(WRITE, error("DUPLICATES_DETECTED", message="Use one of these records?", **more))
    assert raised.value.matches == ("0035e00000KdXyZAAV",)


def test_retry_after_is_kept_and_the_daily_quota_asks_for_a_long_pause() -> None:
    with pytest.raises(Transient) as busy:
        decipher(WRITE, reply(503, retry_after="7"))
    with pytest.raises(Throttled) as daily:
        decipher(WRITE, error("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."))
    with pytest.raises(Throttled) as concurrent:
        decipher(WRITE, error("REQUEST_LIMIT_EXCEEDED", 403, "ConcurrentPerOrgLongTxn Limit exceeded."))
    assert (busy.value.retry_after, daily.value.retry_after, concurrent.value.retry_after) == (7.0, 60.0, None)


@pytest.mark.parametrize("name", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1"])
def test_a_retry_after_that_is_no_number_of_seconds_is_left_out(name: str) -> None:
    assert reply(503, retry_after=name).retry_after is None


def test_usage_is_the_orgs_and_not_the_apps() -> None:
    header = "per-app-api-usage=17/250(appName=x); api-usage=18/5000"
    assert reply(sforce_limit_info=header).usage == Limits(18, 5000)
    assert reply(sforce_limit_info="api-usage=18/5000; per-app-api-usage=17/250(appName=x)").usage == Limits(18, 5000)
    assert reply(sforce_limit_info="per-app-api-usage=17/250(appName=x)").usage is None
    assert reply().usage is None
    assert Limits(4500, 5000).share == 0.9


def test_server_time_is_the_date_header() -> None:
    moment = datetime(2026, 11, 20, 10, 0, 7, tzinfo=UTC)
    assert reply(date="Fri, 20 Nov 2026 10:00:07 GMT").server_time == moment
    assert reply(date="yesterday").server_time is None
    assert reply().server_time is None


def test_every_remedy_says_what_to_do() -> None:
    for advice in [*CODES.values(), *STATUSES.values()]:
        assert advice.advice.endswith("."), advice


def test_addresses_are_encoded_whole() -> None:
    request = Request("GET", "/query", "query", query={"q": "Name = 'a+b&c' "})
    assert request.url("https://h", "67.0") == "https://h/services/data/v67.0/query?q=Name%20%3D%20%27a%2Bb%26c%27%20"
    locator = Request("GET", "/services/data/v60.0/query/01g-2000", "query")
    assert locator.url("https://h", "67.0") == "https://h/services/data/v60.0/query/01g-2000"


def test_a_path_cannot_lead_to_another_host() -> None:
    with pytest.raises(Fatal):
        Request("GET", "https://evil.example/services/data", "read")
    assert Request("GET", "//evil.example", "read").url("https://h", "67.0").startswith("https://h/services/data/")


def test_json_keeps_every_digit_and_refuses_the_rest() -> None:
    assert encode({"Amount": Decimal("10.10")}) == b'{"Amount":10.10}'
    with pytest.raises(Malformed):
        encode({"Amount": Decimal("NaN")})
    with pytest.raises(Malformed):
        encode({"Name": "\ud800"})
    with pytest.raises(Malformed):
        encode({"Name": object()})
