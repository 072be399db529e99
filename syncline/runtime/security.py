"""How Kafka is reached: where, and how each side shows who it is. Pure: files are named here, and read by those who
connect, for each connection anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""SASL mechanisms that take a user and a password."""
TOKENS = "OAUTHBEARER"
"""The one that takes a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM. ca: who is trusted, instead of those whom the machine trusts. certificate, key: who we are, both or
    neither."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    mechanism: str
    username: SecretStr
    password: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """A token that somebody else keeps fresh, such as a projected service account token."""

    path: Path
    mechanism: str = field(default=TOKENS, init=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenEndpoint:
    """OAuth 2.0 client credentials. Equal to itself alone: its tokens are kept by it."""

    url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None
    tls: Tls = field(default_factory=Tls)
    mechanism: str = field(default=TOKENS, init=False)


Login = Password | TokenFile | TokenEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """servers: host:port separated by commas; the only part that is ever shown."""

    servers: str
    tls: Tls | None = None
    login: Login | None = None

    @property
    def protocol(self) -> str:
        plain = "SSL" if self.tls else "PLAINTEXT"
        return plain if self.login is None else f"SASL_{plain}"

    def __str__(self) -> str:
        return self.servers


Address = Kafka | str
"""Servers alone are spoken to in plain text, without login."""


def reach(address: Address) -> Kafka:
    return Kafka(servers=address) if isinstance(address, str) else address
