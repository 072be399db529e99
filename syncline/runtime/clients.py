"""The one place where Kafka clients are made, and where it is told why one cannot connect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, conn
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from syncline.contracts.errors import Transient
from syncline.runtime import tls
from syncline.runtime.oauth import tokens
from syncline.runtime.renewing import RenewingClient
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
    client.__class__ = RenewingClient


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
    # A KafkaError's text begins with its class.
    return str(error.args[0]) if isinstance(error, KafkaError) and error.args else str(error)
