"""OAuth 2.0 logins: requests out, tokens in.

"OAuth Authorization Flows" in Salesforce Help. A reply holds no lifetime: a token is good until a call meets
INVALID_SESSION_ID. Secrets are in no repr and in no error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol
from urllib.parse import urlencode, urlsplit

import jwt
import orjson

from syncline.contracts.errors import Fatal, SynclineError, Throttled, Transient
from syncline.salesforce.protocol import Reply, Request, errors_in

PATH = "/services/oauth2/token"
ASSERTION_LIFE = timedelta(minutes=3)
"""Salesforce refuses an assertion that lives longer."""


class Flow(Protocol):
    """A way to get a token. `form` holds secrets; `secrets` lists them, so that errors can be cleared of them."""

    name: ClassVar[str]
    own_host_only: ClassVar[bool]

    @property
    def secrets(self) -> tuple[str, ...]: ...

    def form(self, now: datetime) -> Mapping[str, str]:
        """Raises Fatal for a key that cannot sign."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Runs as the user whom the connected app names; My Domain only ("OAuth 2.0 Client Credentials Flow")."""

    client_id: str
    client_secret: str = field(repr=False)
    name: ClassVar[str] = "client credentials"
    own_host_only: ClassVar[bool] = True

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.client_secret,)

    def form(self, now: datetime) -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """private_key: RSA, PEM. audience: https://test.salesforce.com for sandboxes ("OAuth 2.0 JWT Bearer Flow")."""

    client_id: str
    username: str
    private_key: str = field(repr=False)
    audience: str = "https://login.salesforce.com"
    name: ClassVar[str] = "JWT bearer"
    own_host_only: ClassVar[bool] = False

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.private_key,)

    def form(self, now: datetime) -> Mapping[str, str]:
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience,
            "exp": int((now + ASSERTION_LIFE).timestamp()),
        }
        try:
            assertion = jwt.encode(claims, self.private_key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            # The cause is left out: what a parser says of a key can quote it.
            raise Fatal(
                f"the JWT bearer login of {self.username} has no usable key: give an unencrypted RSA private key "
                "in PEM, the one whose certificate the connected app holds"
            ) from None
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """After a person approved the app once, with scopes `api refresh_token` ("OAuth 2.0 Refresh Token Flow")."""

    client_id: str
    refresh_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    name: ClassVar[str] = "refresh token"
    own_host_only: ClassVar[bool] = False

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.refresh_token, self.client_secret) if secret)

    def form(self, now: datetime) -> Mapping[str, str]:
        form = {"grant_type": "refresh_token", "client_id": self.client_id, "refresh_token": self.refresh_token}
        return {**form, "client_secret": self.client_secret} if self.client_secret else form


@dataclass(frozen=True, slots=True)
class Password:
    """Legacy, off in new orgs. password: with the security token appended ("OAuth 2.0 Username-Password Flow")."""

    client_id: str
    client_secret: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    name: ClassVar[str] = "password"
    own_host_only: ClassVar[bool] = False

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.client_secret, self.password)

    def form(self, now: datetime) -> Mapping[str, str]:
        return {
            "grant_type": "password",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "username": self.username,
            "password": self.password,
        }


@dataclass(frozen=True, slots=True)
class Token:
    """instance_url: scheme and host of every further call, without a slash at the end."""

    access_token: str = field(repr=False)
    instance_url: str
    issued_at: datetime


def login_request(flow: Flow, login_url: str, now: datetime) -> Request:
    """To be sent to `login_url`. Raises Fatal."""
    host = _host(login_url)
    if not host:
        # It is not shown, since it may be wrong by holding a password.
        raise Fatal("login_url must be an address such as https://acme.my.salesforce.com, without user and password")
    if flow.own_host_only and host in ("login.salesforce.com", "test.salesforce.com"):
        raise Fatal(f"Salesforce refuses the {flow.name} login at {host}: set login_url to the org's My Domain")
    return Request(
        "POST",
        PATH,
        "auth",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(flow.form(now)).encode(),
    )


def read_token(flow: Flow, login_url: str, reply: Reply, now: datetime) -> Token:
    """Raises Transient and Throttled where the same login can succeed later, else Fatal."""
    where = f"the {flow.name} login at {login_url}"
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        content = None
    if reply.status != 200:
        raise _refused(flow, where, reply, content)
    if not isinstance(content, dict):
        content = {}
    token, instance_url = content.get("access_token"), content.get("instance_url")
    if not (token and isinstance(token, str) and isinstance(instance_url, str) and _host(instance_url)):
        raise Fatal(f"{where} was answered without a token and an instance_url: check that login_url is Salesforce's")
    return Token(token, instance_url.rstrip("/"), _issued(content.get("issued_at"), now))


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and "@" not in parts.netloc
        good = good and parts.port != 0  # asking for the port checks it
    except ValueError:
        return None
    return parts.hostname if good and re.fullmatch(r"[\w.:-]+", parts.hostname or "") else None


def _issued(text: Any, now: datetime) -> datetime:
    """Milliseconds since 1970, as a string; the JWT bearer flow does not document it."""
    return (
        datetime.fromtimestamp(int(text) / 1000, UTC)
        if isinstance(text, str) and re.fullmatch("[0-9]{10,14}", text)
        else now
    )


# (error, part of its description, what to check); the first that fits counts. Salesforce reuses its texts: an expired
# JWT is called an expired authorization code. "OAuth 2.0 Authorization Errors" in Salesforce Help.
_CHECKS = (
    ("invalid_grant", "authentication failure", "user name, password with security token, and the app's IP policy"),
    ("invalid_grant", "expired authorization code", "that this machine's clock is right: the assertion came too late"),
    ("invalid_grant", "expired access/refresh token", "approve the app again; its policy may rotate refresh tokens"),
    ("invalid_grant", "approved this consumer", "pre-authorize the app for the user's profile or permission set"),
    ("invalid_grant", "audience", "`audience`: https://login.salesforce.com, or https://test.salesforce.com"),
    ("invalid_grant", "assertion", "that the private key belongs to the certificate in the connected app"),
    ("invalid_grant", "no client credentials user", "name a run-as user in the app's client credentials flow"),
    ("invalid_grant", "", "user, app policies and login history in Setup"),
    ("invalid_client_id", "", "the client id (consumer key), and that login_url is the right org"),
    ("invalid_client", "", "client id and client secret"),
    ("invalid_app_access", "", "assign the app to the user's profile or permission set"),
    ("unsupported_grant_type", "", "that the flow is enabled in the connected app"),
    ("inactive_user", "", "that the user is active"),
    ("inactive_org", "", "that the org is active"),
)


def _refused(flow: Flow, where: str, reply: Reply, content: Any) -> SynclineError:
    """Usually OAuth's own `error`; what guards all of an org's addresses, such as its quota, answers as the API."""
    told = errors_in(content)[0] if errors_in(content) else {}
    error = str(told.get("error") or told.get("errorCode") or "")
    description = str(told.get("error_description") or told.get("message") or "")
    for secret in flow.secrets:
        error, description = (text.replace(secret, "[hidden]") for text in (error, description))
    shown = ", ".join(filter(None, (error, description))) or f"HTTP status {reply.status}"
    if 300 <= reply.status < 400:
        return Fatal(f"{where} was sent elsewhere ({shown}): set login_url to the org's My Domain")
    if (
        reply.status == 429
        or error in ("rate_limit_exceeded", "REQUEST_LIMIT_EXCEEDED")
        or "rate exceeded" in description
    ):
        return Throttled(
            f"{where} was throttled ({shown}): wait, and look for others who log in as this user", reply.retry_after
        )
    if reply.status >= 500 or error == "unknown_error":
        return Transient(f"{where} failed ({shown}); wait, or see Salesforce's status page", reply.retry_after)
    check = next(
        (check for name, part, check in _CHECKS if name == error and part in description.lower()),
        "login_url, and the connected app in Setup",
    )
    return Fatal(f"{where} was refused ({shown}). Check: {check}")
