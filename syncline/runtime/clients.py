"""The one place where Kafka clients are made, for aiokafka 0.14: whatever they need to be let in is read anew for each
connection.

aiokafka takes the password and the TLS context when a client is made, and hands them from the client's attributes to
every connection that it opens. Here these attributes are properties: a connection that is lost, or closed by a broker
that wants a fresh login (`connections.max.reauth.ms`; aiokafka cannot log in again on an open connection), comes back
with what the files hold by then. Nothing that the client is doing is lost by that: it repeats its requests, and an
idempotent producer's batches are recognised.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, conn
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from syncline.contracts.errors import Transient
from syncline.runtime import tls
from syncline.runtime.oauth import tokens
from syncline.runtime.security import Address, Kafka, Password, reach

ASKED = 5.0
"""Seconds for the one connection that tells why no client could connect."""


def new_producer(address: Address, **options: Any) -> AIOKafkaProducer:
    kafka = reach(address)
    made = AIOKafkaProducer(bootstrap_servers=kafka.servers, **options)
    secure(made.client, kafka)
    return made


def new_consumer(address: Address, **options: Any) -> AIOKafkaConsumer:
    kafka = reach(address)
    made = AIOKafkaConsumer(bootstrap_servers=kafka.servers, **options)
    secure(made._client, kafka)
    return made


def new_admin(address: Address, **options: Any) -> AIOKafkaAdminClient:
    kafka = reach(address)
    made = AIOKafkaAdminClient(bootstrap_servers=kafka.servers, **options)
    secure(made._client, kafka)
    return made


def secure(client: AIOKafkaClient, address: Address) -> None:
    """From now on the client connects as `address` says. For one that did not connect yet."""
    kafka = reach(address)
    if not (kafka.tls or kafka.login):
        return
    client._security_protocol = kafka.protocol
    if kafka.login:
        client._sasl_mechanism = kafka.login.mechanism
    if kafka.login and not isinstance(kafka.login, Password):
        client._sasl_oauth_token_provider = tokens(kafka.login)
    client.kafka = kafka
    client.__class__ = _Renewing


class _Renewing(AIOKafkaClient):  # type: ignore[misc]
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

    async def bootstrap(self) -> None:
        try:
            await super().bootstrap()
        except KafkaError:
            self._failed()
            raise

    async def _get_conn(self, *args: Any, **options: Any) -> Any:
        made = await super()._get_conn(*args, **options)
        if made is None:
            self._failed()
        return made

    def _failed(self) -> None:
        if self._sasl_oauth_token_provider:
            self._sasl_oauth_token_provider.refused()


class _Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]
    """aiokafka's own takes any reply for a yes. A broker says no by one that is not empty (RFC 7628, section 3.2.2),
    and would then answer each request with an error of another form."""

    async def step(self, payload: bytes | None) -> Any:
        if payload:
            raise SaslAuthenticationFailed("the token was refused")
        return await super().step(payload)


conn.OAuthAuthenticator = _Authenticator


async def unreachable(address: Address, error: KafkaError) -> Transient:
    """What to raise for a client that did not start, by `error`. aiokafka tells its log alone why a broker could not be
    reached, so one more connection is made to hear it."""
    kafka = reach(address)
    for host, port, _ in conn.collect_hosts(kafka.servers, randomize=False):
        try:
            await _try(kafka, host, port)
        except (OSError, KafkaError, TimeoutError) as reason:
            if said := _why(reason, kafka, host):
                return Transient(f"Kafka at {host}:{port} cannot be reached: {said}")
    return Transient(f"Kafka at {kafka} cannot be reached: {error}; check SYNCLINE_KAFKA, and whether the broker runs")


async def _try(kafka: Kafka, host: str, port: int) -> None:
    """Connect and ask something. Raises what aiokafka raises."""
    client = AIOKafkaClient(bootstrap_servers=kafka.servers)
    secure(client, kafka)
    made = await conn.create_conn(
        host,
        port,
        request_timeout_ms=int(ASKED * 1000),
        ssl_context=client._ssl_context,
        security_protocol=client._security_protocol,
        sasl_mechanism=client._sasl_mechanism,
        sasl_plain_username=client._sasl_plain_username,
        sasl_plain_password=client._sasl_plain_password,
        sasl_oauth_token_provider=client._sasl_oauth_token_provider,
    )
    try:
        await made.send(MetadataRequest([]))
    finally:
        await made.close()


def _why(error: BaseException, kafka: Kafka, host: str) -> str | None:
    """None for an address where nobody answers, which `unreachable` speaks of itself."""
    login = kafka.login
    if kafka.tls and (said := tls.why(error, kafka.tls, host)):
        return said
    if isinstance(error, ConnectionRefusedError | TimeoutError):
        return None
    if isinstance(error, SaslAuthenticationFailed):
        if isinstance(login, Password):
            who = f"user {login.username.get_secret_value()} ({login.mechanism})"
            return f"it refuses {who}: check SYNCLINE_KAFKA_USERNAME and SYNCLINE_KAFKA_PASSWORD"
        return "it refuses the token: check issuer, audience and scope against what the broker asks for"
    if isinstance(error, UnsupportedSaslMechanismError) and login:
        return f"it does not take {login.mechanism}: set SYNCLINE_KAFKA_SASL_MECHANISM to one that it offers"
    if isinstance(error, IllegalSaslStateError):
        return "it asks for no login on this port: check SYNCLINE_KAFKA and SYNCLINE_KAFKA_SECURITY_PROTOCOL"
    if isinstance(error, ConnectionError) or "closed" in str(error):
        said = f"it closed the connection: check that this is a port for {kafka.protocol}"
        if kafka.tls is None:
            return said
        own = "; ".join(tls.faults(kafka.tls, datetime.now(UTC)))
        shown = kafka.tls.certificate or "none"
        return own or f"{said}, and that the broker trusts the client certificate (it was shown: {shown})"
    return str(error.args[0]) if error.args else str(error)
