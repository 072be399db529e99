"""A Kafka client whose every connection is made with what the files hold by then; for aiokafka 0.14, whose insides it
leans on.

aiokafka takes the password and the TLS context when a client is made, and hands them from the client's attributes to
every connection that it opens. Here these attributes are properties.

A broker may ask for a new login after a while (`connections.max.reauth.ms`, or when a token ends). aiokafka cannot log
in again on an open connection, and the broker would close it with the next request. Here a new connection takes over
shortly before, and the old one ends when its last reply has come.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Awaitable
from typing import Any

from aiokafka import conn
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest

from syncline.contracts.errors import Transient
from syncline.runtime import tls
from syncline.runtime.security import Kafka, Password

USED = 0.8
"""The share of a session's life for which new requests go to its connection."""

FAREWELL = 1.0
"""Seconds for brokers to say that they end a connection too."""


class RenewingClient(AIOKafkaClient):  # type: ignore[misc]
    """The properties raise only what aiokafka takes for a connection that failed: OSError and KafkaError."""

    kafka: Kafka

    @property
    def _ssl_context(self) -> ssl.SSLContext | None:
        return tls.context(self.kafka.tls) if self.kafka.tls else None

    @property
    def _sasl_plain_username(self) -> str | None:
        return self._password("username")

    @property
    def _sasl_plain_password(self) -> str | None:
        return self._password("password")

    def _password(self, part: str) -> str | None:
        if not isinstance(self.kafka.login, Password):
            return None
        try:
            found: str = getattr(self.kafka.login, part).get_secret_value()
        except Transient as error:
            raise KafkaConnectionError(str(error)) from None
        return found

    @property
    def _ending(self) -> list[_Connection]:
        """Connections that are used no more and wait for their last replies."""
        ending: list[_Connection] = self.__dict__.setdefault("ending", [])
        return ending

    async def bootstrap(self) -> None:
        try:
            await super().bootstrap()
        except KafkaError:
            self._failed()
            raise

    async def _get_conn(self, *args: Any, **options: Any) -> Any:
        self._retire()
        made = await super()._get_conn(*args, **options)
        if made is None:
            self._failed()
        return made

    def _retire(self) -> None:
        now = time.monotonic()
        for place in [place for place, each in self._conns.items() if each.used_until < now]:
            self._ending.append(self._conns.pop(place))
        for each in self._ending:
            if not each.busy:
                each.close(reason=conn.CloseReason.IDLE_DROP)
        self._ending[:] = [each for each in self._ending if each.busy]

    def _failed(self) -> None:
        if self._sasl_oauth_token_provider:
            self._sasl_oauth_token_provider.refused()

    async def close(self) -> None:
        """Over TLS each side says that it ends. A broker that read our word together with a fetch, which it holds back
        until there are records, forgets it (seen with Kafka 4.3), and uvloop would wait half a minute for its answer.
        What was worth a reply has had it by now."""
        left = (*self._ending, *self._conns.values())
        transports = [each._writer.transport for each in left if each.connected()]
        shutdown = conn.CloseReason.SHUTDOWN
        closing = asyncio.gather(super().close(), *(each.close(reason=shutdown) for each in self._ending))
        self._ending.clear()
        await asyncio.wait({closing}, timeout=FAREWELL)
        for each in transports:
            each.abort()
        await closing


class _Connection(conn.AIOKafkaConnection):  # type: ignore[misc]
    used_until = math.inf
    """Monotonic seconds."""

    @property
    def busy(self) -> bool:
        return bool(self._requests)

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        sent: Awaitable[Any] = super().send(request, expect_response)
        return self._logged_in(sent) if isinstance(request, SaslAuthenticateRequest) else sent

    async def _logged_in(self, sent: Awaitable[Any]) -> Any:
        began, reply = time.monotonic(), await sent
        if life := getattr(reply, "session_lifetime_ms", 0):
            self.used_until = began + life / 1000 * USED
        return reply

    def authenticator_oauth(self) -> Any:
        return _Authenticator(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka's own takes any reply for a yes. A broker says no by one that is not empty (RFC 7628, section 3.2.2),
    and would then answer each request with an error of another form."""

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed("the token was refused")
        return await super().step(payload)


conn.AIOKafkaConnection = _Connection  # what `create_conn` makes; aiokafka has no other way to say so
