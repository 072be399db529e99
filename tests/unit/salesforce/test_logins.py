from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from syncline.contracts.errors import Fatal, SynclineError, Throttled, Transient
from syncline.salesforce.auth import (
    ClientCredentials,
    Flow,
    JwtBearer,
    Password,
    RefreshToken,
    Token,
    login_request,
    read_token,
)
from syncline.salesforce.protocol import Reply
from tests.unit.salesforce.world import LOGIN, NOW, error, reply

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SECRET = "hush-8f3a"

FLOWS: list[Flow] = [
    ClientCredentials("app", SECRET),
    JwtBearer("app", "sync@acme.example", PEM),
    RefreshToken("app", SECRET),
    RefreshToken("app", SECRET, client_secret="hush-too"),
    Password("app", SECRET, "sync@acme.example", "hush-too"),
]
names = [flow.name for flow in FLOWS]


def form(flow: Flow) -> dict[str, str]:
    request = login_request(flow, LOGIN, NOW)
    assert (request.method, request.path, request.kind) == ("POST", "/services/oauth2/token", "auth")
    return {name: value for name, (value,) in parse_qs((request.body or b"").decode()).items()}


def test_client_credentials() -> None:
    assert form(FLOWS[0]) == {"grant_type": "client_credentials", "client_id": "app", "client_secret": SECRET}


def test_jwt_bearer_signs_for_three_minutes() -> None:
    sent = form(FLOWS[1])
    assert sent.keys() == {"grant_type", "assertion"}
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        sent["assertion"],
        KEY.public_key(),
        algorithms=["RS256"],
        audience="https://login.salesforce.com",
        options={"verify_exp": False},
    )
    assert (claims["iss"], claims["sub"]) == ("app", "sync@acme.example")
    assert claims["exp"] == (NOW + timedelta(minutes=3)).timestamp()


def test_refresh_token_with_and_without_client_secret() -> None:
    public = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": SECRET}
    assert form(FLOWS[2]) == public
    assert form(FLOWS[3]) == {**public, "client_secret": "hush-too"}


def test_password() -> None:
    assert form(FLOWS[4]) == {
        "grant_type": "password",
        "client_id": "app",
        "client_secret": SECRET,
        "username": "sync@acme.example",
        "password": "hush-too",
    }


@pytest.mark.parametrize("host", ["https://login.salesforce.com", "https://test.salesforce.com/"])
def test_client_credentials_need_my_domain(host: str) -> None:
    with pytest.raises(Fatal, match="My Domain"):
        login_request(FLOWS[0], host, NOW)
    login_request(FLOWS[1], host, NOW)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme.my.salesforce.com",
        "https://",
        "https://[acme",
        "https://acme:99999",
        "ftp://acme",
        "https://a:hush@acme",
        "https://a b",
    ],
)
def test_a_login_url_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Fatal, match="login_url") as raised:
        login_request(FLOWS[0], url, NOW)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("key", ["", "hush-not-a-key", PEM.replace("PRIVATE", "PUBLIC"), PEM[:200]])
def test_a_key_that_cannot_sign_is_fatal(key: str) -> None:
    with pytest.raises(Fatal, match="RSA private key in PEM") as raised:
        login_request(JwtBearer("app", "sync@acme.example", key), LOGIN, NOW)
    assert raised.value.__suppress_context__
    assert not key or key not in str(raised.value)


def test_the_token_names_its_instance_and_its_time() -> None:
    content = {"access_token": "t", "instance_url": "https://i.example/", "issued_at": "1795600000123"}
    token = read_token(FLOWS[0], LOGIN, reply(content=content), NOW)
    assert token == Token("t", "https://i.example", datetime(2026, 11, 25, 9, 46, 40, 123000, UTC))


def test_a_reply_without_time_counts_from_now() -> None:
    content = {"access_token": "t", "instance_url": "https://i.example"}
    for more in ({}, {"issued_at": None}, {"issued_at": "9" * 400}):
        assert read_token(FLOWS[1], LOGIN, reply(content=content | more), NOW).issued_at == NOW


@pytest.mark.parametrize(
    "content", [None, b"<html>", [], {}, {"access_token": "t"}, {"access_token": "t", "instance_url": 1}]
)
def test_a_reply_without_token_or_instance_is_fatal(content: object) -> None:
    with pytest.raises(Fatal, match="instance_url"):
        read_token(FLOWS[0], LOGIN, reply(content=content), NOW)


def refused(name: str, description: str) -> Reply:
    return reply(400, {"error": name, "error_description": description})


@pytest.mark.parametrize(
    ("answer", "reaction", "advice"),
    [
        (refused("invalid_grant", "authentication failure - Invalid Password"), Fatal, "security token"),
        (refused("invalid_grant", "expired authorization code"), Fatal, "clock"),
        (refused("invalid_grant", "user hasn't approved this consumer"), Fatal, "pre-authorize"),
        (refused("invalid_grant", "no client credentials user enabled"), Fatal, "run-as user"),
        (refused("invalid_grant", "something new"), Fatal, "login history"),
        (refused("invalid_client_id", "client identifier invalid"), Fatal, "consumer key"),
        (refused("invalid_app_access", "user is not admin approved to access this app"), Fatal, "assign the app"),
        (refused("from_next_year", "?"), Fatal, "connected app"),
        (refused("unknown_error", "retry your request"), Transient, "status page"),
        (refused("invalid_grant", "login rate exceeded"), Throttled, "log in as this user"),
        (error("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."), Throttled, "TotalRequests"),
        (error("SERVER_UNAVAILABLE", 503, "maintenance"), Transient, "maintenance"),
        (reply(503, b"<html>"), Transient, "HTTP status 503"),
        (reply(302), Fatal, "My Domain"),
    ],
)
def test_a_refusal_names_flow_reason_and_what_to_check(
    answer: Reply, reaction: type[SynclineError], advice: str
) -> None:
    with pytest.raises(SynclineError) as raised:
        read_token(FLOWS[0], LOGIN, answer, NOW)
    assert type(raised.value) is reaction
    assert f"the client credentials login at {LOGIN}" in str(raised.value)
    assert advice in str(raised.value)


@pytest.mark.parametrize("flow", FLOWS, ids=names)
def test_no_secret_is_shown(flow: Flow) -> None:
    token = Token("hush-token", "https://i.example", NOW)
    shown = [repr(flow), str(flow), repr(token), str(token), repr(login_request(flow, LOGIN, NOW))]
    with pytest.raises(Fatal) as raised:
        read_token(flow, LOGIN, refused("invalid_grant", f"you sent {' and '.join(flow.secrets)}"), NOW)
    shown += [str(raised.value), repr(raised.value)]
    assert flow.secrets
    for text in shown:
        assert not any(secret in text for secret in (*flow.secrets, "hush", "BEGIN"))
