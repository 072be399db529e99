"""Tokens for SASL OAUTHBEARER: from a file, or by OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from syncline.contracts.errors import Transient
from syncline.runtime import tls
from syncline.runtime.secret import read_file
from syncline.runtime.security import TokenEndpoint, TokenFile

TIMEOUT = aiohttp.ClientTimeout(total=10)
EARLY = 60.0
"""Seconds before its end from which a token is not used any more; of one with a short life a fifth of that."""
AGAIN = 2.0
"""A token that a broker did not take is asked for anew, but no sooner than so many seconds after the one before."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1. Anything else could end the field that it is sent in."""
_CODE = re.compile(r"[\w.-]{1,60}")
"""An error code that may be shown; descriptions may quote what was sent."""


class Token(NamedTuple):
    """at: when it was asked for; until: when it is used no longer; by the clock that was given."""

    text: str
    at: float
    until: float


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, login: TokenFile) -> None:
        self._path = login.path

    async def token(self) -> str:
        """Raises KafkaConnectionError, which aiokafka takes for a connection that failed."""
        try:
            found = read_file(self._path)
        except Transient as error:
            raise KafkaConnectionError(str(error)) from None
        if not _TOKEN.fullmatch(found):
            raise KafkaConnectionError(f"{self._path} holds no token")
        return found

    def refused(self) -> None:
        """It is read anew in any case."""


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]
    """One for all clients of a process, whichever thread they live in: at worst two ask at the same time."""

    def __init__(self, login: TokenEndpoint, clock: Callable[[], float] = time.monotonic) -> None:
        self._login = login
        self._clock = clock
        self._kept: Token | None = None
        self._refused = False

    async def token(self) -> str:
        """Raises KafkaConnectionError, which aiokafka takes for a connection that failed."""
        now, kept = self._clock(), self._kept
        if kept and now < kept.until and not (self._refused and now - kept.at >= AGAIN):
            return kept.text
        self._refused = False
        self._kept = read_token(await self._ask(), now, self._login.url)
        return self._kept.text

    def refused(self) -> None:
        """Some broker could not be reached, maybe because it did not take the token."""
        self._refused = True

    async def _ask(self) -> Any:
        login = self._login
        form = {"grant_type": "client_credentials", **({"scope": login.scope} if login.scope else {})}
        try:
            headers = {"Authorization": basic(login.client_id, login.client_secret.get_secret_value())}
            async with (
                aiohttp.ClientSession(
                    timeout=TIMEOUT, connector=aiohttp.TCPConnector(ssl=tls.context(login.tls))
                ) as session,
                session.post(login.url, data=form, headers=headers, allow_redirects=False) as reply,
            ):
                content = await _json(reply)
                if reply.status == 200:
                    return content
                code = str(content.get("error")) if isinstance(content, dict) else ""
                raise KafkaConnectionError(
                    f"the token endpoint {login.url} answered {reply.status} {code if _CODE.fullmatch(code) else ''}: "
                    "check SYNCLINE_KAFKA_OAUTH_CLIENT_ID, its secret and the scope"
                )
        except Transient as error:
            raise KafkaConnectionError(str(error)) from None
        except aiohttp.ClientConnectorCertificateError as error:
            said = tls.why(error.certificate_error, login.tls, error.host)
            raise KafkaConnectionError(f"the token endpoint {login.url}: {said}") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said = tls.why(error, login.tls, login.url) or f"{type(error).__name__}: {error}"
            raise KafkaConnectionError(f"the token endpoint {login.url} cannot be asked: {said}") from None


def basic(client_id: str, client_secret: str) -> str:
    """RFC 6749, section 2.3.1: both are form-encoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()


def read_token(content: Any, now: float, url: str) -> Token:
    """`content`: the reply's JSON. A token that does not say how long it is good is used once.

    Raises KafkaConnectionError."""
    given = content if isinstance(content, dict) else {}
    text, seconds = given.get("access_token"), given.get("expires_in", 0)
    if not isinstance(text, str) or not _TOKEN.fullmatch(text) or str(given.get("token_type")).lower() != "bearer":
        raise KafkaConnectionError(f"the token endpoint {url} answered without a bearer token: check the address")
    life = float(seconds) if re.fullmatch(r"\d+(\.\d+)?", str(seconds)) else 0.0
    return Token(text, now, now + life - min(EARLY, life / 5))


@lru_cache
def tokens(login: TokenFile | TokenEndpoint) -> FileTokens | EndpointTokens:
    return FileTokens(login) if isinstance(login, TokenFile) else EndpointTokens(login)


async def _json(reply: aiohttp.ClientResponse) -> Any:
    try:
        return await reply.json(content_type=None)
    except ValueError:
        return None
