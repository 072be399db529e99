"""A transport that answers from a script, and a client whose time passes only when it sleeps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from syncline.salesforce.auth import ClientCredentials, Flow
from syncline.salesforce.client import Salesforce
from syncline.salesforce.protocol import Method, Reply

LOGIN = "https://acme.my.salesforce.com"
INSTANCE = "https://acme.instance.example"
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
FLOW = ClientCredentials(client_id="app", client_secret="s3cret-of-the-app")


def reply(status: int = 200, content: Any = None, **headers: str) -> Reply:
    """Header names with _ for -; content None is an empty body, bytes are sent as they are."""
    body = content if isinstance(content, bytes) else b"" if content is None else orjson.dumps(content)
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def error(code: str, status: int = 400, message: str = "", **more: Any) -> Reply:
    return reply(status, [{"errorCode": code, "message": message, **more}])


EXPIRED = error("INVALID_SESSION_ID", 401, "Session expired or invalid")
LOCKED = error("UNABLE_TO_LOCK_ROW", 500, "unable to obtain exclusive access to this record")
OVERLOADED = reply(503, b"<html><body>Service Unavailable</body></html>")


@dataclass(frozen=True)
class Sent:
    method: Method
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def token(self) -> str:
        return self.headers["Authorization"].removeprefix("Bearer ")

    @property
    def json(self) -> Any:
        return orjson.loads(self.body or b"null")


Answer = Reply | Exception
Script = list[Answer] | Callable[[Sent], Answer]


@dataclass
class Scripted:
    """Logs in anyone, with a new token each time, and answers all other calls by the script."""

    script: Script
    logins: list[Answer] = field(default_factory=list)
    """Come before the good ones."""
    versions: Any = field(default_factory=lambda: [{"version": "58.0"}, {"version": "67.0"}, {"version": "9.0"}])
    sent: list[Sent] = field(default_factory=list)
    issued: int = 0

    async def __call__(self, method: Method, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        sent = Sent(method, url, headers, body)
        await asyncio.sleep(0)  # lets the callers that run at the same time interleave
        answer = self._answer(sent)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer(self, sent: Sent) -> Answer:
        if sent.path == "/services/oauth2/token":
            assert sent.url.startswith(LOGIN)
            if self.logins:
                return self.logins.pop(0)
            self.issued += 1
            return reply(content={"access_token": f"token-{self.issued}", "instance_url": INSTANCE})
        assert sent.url.startswith(INSTANCE)
        if sent.path == "/services/data":
            return reply(content=self.versions)
        self.sent.append(sent)
        return self.script(sent) if callable(self.script) else self.script.pop(0)


@dataclass
class Time:
    """Both clocks of the client; moves when it sleeps."""

    passed: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed += seconds


def connected(transport: Scripted, *, flow: Flow = FLOW, passing: Time | None = None, **options: Any) -> Salesforce:
    passing = passing or Time()
    return Salesforce(
        transport,
        flow,
        login_url=LOGIN,
        clock=passing.now,
        sleep=passing.sleep,
        monotonic=passing.seconds,
        rng=random.Random(1),
        **options,
    )
