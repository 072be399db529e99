"""A real broker with listeners for each way in, and a token endpoint as strict as those of the world outside."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import jwt
import yaml
from aiohttp import web
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from syncline.config.settings import Settings
from syncline.local.kafka import Broker, kafka
from syncline.local.machine import free_port
from syncline.runtime.admin import asking
from syncline.runtime.security import Kafka
from tests.certificates import Authority, Pair, put

USER = "ada"
MECHANISM = "SCRAM-SHA-512"
HOST = "127.0.0.1"
"""The only name in the broker's certificate."""
SESSIONS = {"scram": 2.0, "oauth": 1.5}
"""Seconds after which the broker closes a connection that has not logged in again."""
AUDIENCE, SCOPE, CLIENT = "kafka", "syncline:all", "sync line"
MANIFEST = Path(__file__).parents[1] / "deploy" / "k8s" / "components" / "strimzi" / "kafka.yaml"
RESOURCES = {"topic": 2, "group": 3}
OPERATIONS = {"Alter": 7, "Read": 3, "Write": 4, "Create": 5, "Describe": 8}
"""Numbers of Kafka's ResourceType and AclOperation."""
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class AlterScramResponse_v0(Response):  # type: ignore[misc]  # noqa: N801
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterScramRequest_v0(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """AlterUserScramCredentials, which aiokafka lacks: quicker than Kafka's own command by the start of a Java."""

    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = AlterScramResponse_v0
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterScram(Request[AlterScramRequest_v0]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, user: str, iterations: int, salt: bytes, salted: bytes) -> None:
        sha512 = 2
        self._change: tuple[Any, ...] = (user, sha512, iterations, salt, salted, {})

    def build(self, request_struct_class: type[AlterScramRequest_v0]) -> AlterScramRequest_v0:
        return request_struct_class([], [self._change], {})


@dataclass
class TokenService:
    """OAuth 2.0 client credentials over https, with the client's own secret by HTTP Basic; counts what it gave."""

    url: str
    secret: str = "s3cret +&"
    audience: str = AUDIENCE
    life: int = 4
    """Seconds that a token is good."""
    given: int = 0
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        kind, _, held = request.headers.get("Authorization", "").partition(" ")
        client, _, secret = base64.b64decode(held).decode().partition(":")
        if kind != "Basic" or (unquote_plus(client), unquote_plus(secret)) != (CLIENT, self.secret):
            self.refused += 1
            return web.json_response({"error": "invalid_client", "error_description": "hush"}, status=401)
        if request.content_type != "application/x-www-form-urlencoded":
            return web.json_response({"error": "invalid_request"}, status=400)
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if form.get("scope") != SCOPE:
            return web.json_response({"error": "invalid_scope"}, status=400)
        self.given += 1
        now = int(time.time())
        claims = {
            "iss": "https://login.example",
            "aud": self.audience,
            "sub": USER,
            "iat": now,
            "exp": now + self.life + 1,
        }
        token = jwt.encode({**claims, "scope": SCOPE}, KEY, algorithm="RS256", headers={"kid": "1"})
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.life})


@dataclass
class Estate:
    """The broker, and the files of one client, replaced by `rotate`. ports: listener to its port."""

    folder: Path
    broker: Broker
    ports: Mapping[str, int]
    tokens: TokenService
    authority: Authority
    password: str = field(repr=False)

    def environ(self, way: str, **changed: str) -> dict[str, str]:
        """How a process is told of a listener; `changed`: variables without SYNCLINE_KAFKA_, "" leaves one out."""
        sasl = {"security_protocol": "SASL_SSL"}
        own: dict[str, dict[str, str]] = {
            "tls": {
                "security_protocol": "SSL",
                "certificate_file": str(self.folder / "user.crt"),
                "key_file": str(self.folder / "user.key"),
            },
            "scram": {
                **sasl,
                "sasl_mechanism": MECHANISM,
                "username": USER,
                "password_file": str(self.folder / "password"),
            },
            "oauth": {
                **sasl,
                "sasl_mechanism": "OAUTHBEARER",
                "oauth_token_url": self.tokens.url,
                "oauth_client_id": CLIENT,
                "oauth_client_secret_file": str(self.folder / "client-secret"),
                "oauth_scope": SCOPE,
                "oauth_ca_file": str(self.folder / "login-ca.crt"),
            },
        }
        own["expired"] = own["tls"]
        given = {"ca_file": str(self.folder / "ca.crt"), **own[way], **changed}
        named = {f"SYNCLINE_KAFKA_{name.upper()}": value for name, value in given.items() if value}
        return {"SYNCLINE_KAFKA": f"{HOST}:{self.ports[way]}", **named}

    def kafka(self, way: str, **changed: str) -> Kafka:
        return Settings.read(self.environ(way, **changed)).kafka

    def issue(self, authority: Authority) -> None:
        """The broker's certificate and the client's, by this authority, whom both trust alone."""
        self.authority = authority
        write(self.folder, authority)

    async def set_password(self, password: str) -> None:
        """At the broker alone."""
        salt, iterations = os.urandom(16), 4096
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
        async with asking(self.broker.address) as admin:
            reply = await admin._send_to_controller(AlterScram(USER, iterations, salt, salted))
        assert [code for _, code, *_ in reply.results] == [0], reply
        self.password = password

    async def allow(self, start: str) -> None:
        """What the manifest's KafkaUser may do, on topics and groups that begin with `start`."""
        users = [each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "KafkaUser"]
        prefixed, allowed = 4, 3
        async with asking(self.broker.address) as admin:
            for rule in users[0]["spec"]["authorization"]["acls"]:
                assert (rule["resource"]["name"], rule["resource"]["patternType"]) == ("syncline", "prefix")
                kind = RESOURCES[rule["resource"]["type"]]
                for operation in rule["operations"]:
                    does = OPERATIONS[operation]
                    request = CreateAclsRequest(kind, start, prefixed, f"User:{USER}", "*", does, allowed)
                    reply = await admin._send_to_controller(request)
                    assert [code for code, _ in reply.creation_responses] == [0], reply


def write(folder: Path, authority: Authority) -> None:
    """The broker reads server.pem and ca.crt at its start, clients all but server.pem at each connection."""
    put(folder / "server.pem", _both(authority.issue("broker", HOST)))
    put(folder / "expired.pem", _both(authority.issue("broker", HOST, until=timedelta(hours=-1))))
    put(folder / "ca.crt", authority.pem)
    pair = authority.issue(USER)
    put(folder / "user.crt", pair.certificate)
    put(folder / "user.key", pair.key)


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[Estate]:
    ours, theirs = Authority("ours"), Authority("login")
    write(folder, ours)
    put(folder / "keys.json", json.dumps({"keys": [_public()]}))
    put(folder / "password", "hush-first")
    ports = {name: free_port() for name in PROTOCOLS}
    login = theirs.issue("login", HOST)
    put(folder / "login.pem", _both(login))
    put(folder / "login-ca.crt", theirs.pem)
    async with AsyncExitStack() as running:
        tokens = await running.enter_async_context(token_service(folder / "login.pem"))
        put(folder / "client-secret", tokens.secret)
        keys = f"file://{folder / 'keys.json'}"
        broker = await running.enter_async_context(
            kafka(
                folder / "kafka",
                heap_mb=256,
                also=properties(folder, ports, keys),
                options=[f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}"],
            )
        )
        made = Estate(folder, broker, ports, tokens, ours, "")
        await made.set_password("hush-first")
        await made.allow("test")
        yield made


PROTOCOLS = {"tls": "SSL", "scram": "SASL_SSL", "oauth": "SASL_SSL", "expired": "SSL"}


def properties(folder: Path, ports: Mapping[str, int], keys: str) -> dict[str, str]:
    listeners = ",".join(f"{name.upper()}://{HOST}:{port}" for name, port in ports.items())
    security = "org.apache.kafka.common.security"
    scram, oauth = f"listener.name.scram.{MECHANISM.lower()}", "listener.name.oauth.oauthbearer"
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(f"{name.upper()}:{each}" for name, each in PROTOCOLS.items()),
        # Those who come by password or token may do what the manifest says, the others everything.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:CN={USER}",
        "connection.failed.authentication.delay.ms": "1",  # else each refusal takes its time
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.crt"),
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": str(folder / "expired.pem"),
        "listener.name.scram.sasl.enabled.mechanisms": MECHANISM,
        f"{scram}.sasl.jaas.config": f"{security}.scram.ScramLoginModule required;",
        f"{scram}.connections.max.reauth.ms": str(int(SESSIONS["scram"] * 1000)),
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{oauth}.sasl.jaas.config": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
        f"{oauth}.sasl.server.callback.handler.class": f"{security}.oauthbearer.OAuthBearerValidatorCallbackHandler",
        f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": keys,
        f"{oauth}.sasl.oauthbearer.expected.audience": AUDIENCE,
        f"{oauth}.connections.max.reauth.ms": str(int(SESSIONS["oauth"] * 1000)),
    }


@asynccontextmanager
async def token_service(pem: Path) -> AsyncIterator[TokenService]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    port = free_port()
    service = TokenService(f"https://{HOST}:{port}/token")
    app = web.Application()
    app.add_routes([web.post("/token", service.answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, ssl_context=context).start()
    try:
        yield service
    finally:
        await runner.cleanup()


def _both(pair: Pair) -> bytes:
    return pair.key + pair.certificate


def _public() -> dict[str, Any]:
    held: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    return {**held, "kid": "1", "use": "sig", "alg": "RS256"}
