from __future__ import annotations

import base64
from datetime import timedelta
from functools import cache

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from syncline.simorg import Options, Org, Schema
from syncline.simorg.auth import JWT_BEARER, LoginError
from tests.unit.simorg.world import Clock

ORIGIN = "https://acme.example"
USER = "integration@simorg.example"


@cache
def key_pair(name: str) -> tuple[str, str]:
    """Private and public PEM."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


@pytest.fixture
def org(clock: Clock) -> Org:
    options = Options(client_id="app", client_secret="s3cret", jwt_public_key=key_pair("ours")[1])
    return Org(Schema.standard(), clock=clock, options=options)


def log_in(org: Org, authorization: str | None = None, **form: str) -> str:
    return str(org.login.reply(form, authorization, ORIGIN, org.clock())["access_token"])


def assertion(org: Org, *, key: str = "ours", algorithm: str = "RS256", minutes: float = 3, **claims: object) -> str:
    stated = {
        "iss": "app",
        "sub": USER,
        "aud": "https://login.salesforce.com",
        "exp": int((org.clock() + timedelta(minutes=minutes)).timestamp()),
    }
    secret = key_pair(key)[0] if algorithm == "RS256" else "x" * 64
    return jwt.encode({**stated, **claims}, secret, algorithm=algorithm)


def test_client_credentials_in_the_form_or_as_basic(org: Org, clock: Clock) -> None:
    basic = "Basic " + base64.b64encode(b"app:s3cret").decode()
    for token in (
        log_in(org, grant_type="client_credentials", client_id="app", client_secret="s3cret"),
        log_in(org, basic, grant_type="client_credentials"),
    ):
        assert token.startswith("00D5e0000009zXy!")
        assert org.sessions.user(token, clock()) == org.user_id


def test_reply_has_what_clients_read_and_no_expires_in(org: Org) -> None:
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3cret"}
    reply = org.login.reply(form, None, ORIGIN, org.clock())
    assert reply["instance_url"] == ORIGIN
    assert reply["token_type"] == "Bearer"
    assert reply["issued_at"] == "1795168800700"
    assert reply["id"] == f"{ORIGIN}/id/00D5e0000009zXyEAI/{org.user_id}"
    assert "expires_in" not in reply


@pytest.mark.parametrize("exp", [int, str])
def test_jwt_bearer(org: Org, clock: Clock, exp: type) -> None:
    claim = exp(int((clock() + timedelta(minutes=3)).timestamp()))
    token = log_in(org, grant_type=JWT_BEARER, assertion=assertion(org, exp=claim))
    assert org.sessions.user(token, clock()) == org.user_id


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type", "grant type not supported"),
        ({}, "unsupported_grant_type", "grant type not supported"),
        ({"grant_type": "client_credentials", "client_id": "no"}, "invalid_client_id", "client identifier invalid"),
        (
            {"grant_type": "client_credentials", "client_id": "app", "client_secret": "no"},
            "invalid_client",
            "invalid client credentials",
        ),
    ],
)
def test_login_is_refused(org: Org, form: dict[str, str], error: str, description: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(org, **form)
    assert caught.value.body == {"error": error, "error_description": description}


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"key": "theirs"}, "invalid assertion"),
        ({"algorithm": "HS256"}, "invalid assertion"),
        ({"exp": None}, "invalid assertion"),
        ({"minutes": 0}, "expired authorization code"),
        ({"minutes": -5}, "expired authorization code"),
        ({"minutes": 6}, "invalid assertion"),
        ({"aud": "https://elsewhere.example"}, "audience is invalid"),
        ({"iss": "other"}, "client identifier invalid"),
        ({"sub": "nobody@x.de"}, "user hasn't approved this consumer"),
    ],
)
def test_assertion_is_refused(org: Org, changes: dict[str, object], description: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(org, grant_type=JWT_BEARER, assertion=assertion(org, **changes))  # type: ignore[arg-type]
    assert caught.value.body["error_description"] == description


def test_junk_assertion_is_refused(org: Org) -> None:
    with pytest.raises(LoginError, match="invalid assertion"):
        log_in(org, grant_type=JWT_BEARER, assertion="junk")


def test_bearer_flow_is_off_without_a_key(clock: Clock) -> None:
    with pytest.raises(LoginError, match="user hasn't approved this consumer"):
        log_in(Org(clock=clock), grant_type=JWT_BEARER, assertion="junk")


def test_session_ends_when_idle_and_each_call_restarts_it(org: Org, clock: Clock) -> None:
    token = log_in(org, grant_type="client_credentials", client_id="app", client_secret="s3cret")
    for _ in range(3):
        clock.advance(hours=1.9)
        assert org.sessions.user(token, clock()) == org.user_id
    clock.advance(hours=2)
    assert org.sessions.user(token, clock()) is None
    clock.advance(hours=-1)
    assert org.sessions.user(token, clock()) is None


def test_secret_is_in_no_repr(org: Org) -> None:
    assert "s3cret" not in repr(org.options) + repr(org.login) + repr(org.login.app)
