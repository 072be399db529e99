"""Logins and sessions: OAuth client credentials and JWT bearer.

Rules: "OAuth 2.0 Client Credentials Flow" and "OAuth 2.0 JWT Bearer Flow" in Salesforce Help; the errors' texts are
those that orgs send. There is no `expires_in`: a session ends when it was idle for too long, and each call restarts it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_LONGEST_ASSERTION = timedelta(minutes=5)


class LoginError(Exception):
    """A refused token request: HTTP 400 with `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True)
class App:
    """The connected app that may log in."""

    client_id: str
    client_secret: str = field(repr=False)
    jwt_public_key: str | None = None
    """PEM; without it the JWT bearer flow is refused."""


@dataclass(slots=True)
class _Session:
    user_id: str
    expires: datetime


class Sessions:
    """Live access tokens. `idle` is how long one lasts without a call."""

    def __init__(self, org_id: str, idle: timedelta) -> None:
        self._org_id = org_id
        self._idle = idle
        self._live: dict[str, _Session] = {}

    def open(self, user_id: str, now: datetime) -> str:
        token = f"{self._org_id[:15]}!AQ{secrets.token_urlsafe(64)}"
        self._live[token] = _Session(user_id, now + self._idle)
        return token

    def user(self, token: str, now: datetime) -> str | None:
        """Whose session it is, which then lasts anew; None when it has ended or never was."""
        session = self._live.get(token)
        if session is None or session.expires <= now:
            self._live.pop(token, None)
            return None
        session.expires = now + self._idle
        return session.user_id

    def end(self, token: str) -> None:
        self._live.pop(token, None)

    def end_all(self) -> int:
        count = len(self._live)
        self._live.clear()
        return count


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """`POST /services/oauth2/token`. `user_named` gives the id of a username, None for nobody."""

    app: App
    sessions: Sessions
    org_id: str
    run_as: str
    """Id of the user that the client credentials flow runs as."""
    user_named: Callable[[str], str | None]

    def reply(self, form: Mapping[str, str], authorization: str | None, origin: str, now: datetime) -> dict[str, Any]:
        """The token reply. `origin` is the org's own address. Raises LoginError."""
        match form.get("grant_type"):
            case "client_credentials":
                self._check_client(form, authorization)
                user_id = self.run_as
            case grant if grant == JWT_BEARER:
                user_id = self._bearer(form.get("assertion", ""), origin, now)
            case _:
                raise LoginError("unsupported_grant_type", "grant type not supported")
        issued_at = str(int(now.timestamp() * 1000))
        identity = f"{origin}/id/{self.org_id}/{user_id}"
        digest = hmac.new(self.app.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": self.sessions.open(user_id, now),
            "signature": base64.b64encode(digest).decode(),
            "scope": "api",
            "instance_url": origin,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def _check_client(self, form: Mapping[str, str], authorization: str | None) -> None:
        client_id, secret = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        if client_id != self.app.client_id:
            raise LoginError("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), self.app.client_secret.encode()):
            raise LoginError("invalid_client", "invalid client credentials")

    def _bearer(self, assertion: str, origin: str, now: datetime) -> str:
        if self.app.jwt_public_key is None:
            raise LoginError("invalid_grant", "user hasn't approved this consumer")
        try:
            claims = jwt.decode(
                assertion,
                self.app.jwt_public_key,
                algorithms=["RS256"],
                audience=[*_AUDIENCES, origin],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            expires = int(claims["exp"])
        except jwt.InvalidAudienceError:
            raise LoginError("invalid_grant", "audience is invalid") from None
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise LoginError("invalid_grant", "invalid assertion") from None
        if claims.get("iss") != self.app.client_id:
            raise LoginError("invalid_client_id", "client identifier invalid")
        left = expires - now.timestamp()
        if left <= 0:
            raise LoginError("invalid_grant", "expired authorization code")
        if left > _LONGEST_ASSERTION.total_seconds():
            raise LoginError("invalid_grant", "invalid assertion")
        user_id = self.user_named(str(claims.get("sub", "")))
        if user_id is None:
            raise LoginError("invalid_grant", "user hasn't approved this consumer")
        return user_id


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Id and secret of an HTTP Basic header."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise LoginError("invalid_client", "invalid client credentials") from None
    return client_id, secret
