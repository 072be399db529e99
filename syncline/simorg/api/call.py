"""One call of the REST API, and what stands before every handler: latency, faults, session, quota.

The gate answers in Salesforce's order: a dead session is told before the quota is looked at, and a refused call changes
nothing. Rules: "REST API Headers" and "Status Codes and Error Responses" in the REST API Developer Guide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import orjson
from aiohttp import web

from syncline.simorg import errors
from syncline.simorg.dml import Change, Saved
from syncline.simorg.drafts import sobject_named
from syncline.simorg.errors import SalesforceError, SeveralMatches
from syncline.simorg.faults import CallKind
from syncline.simorg.org import Org

OLDEST_VERSION, NEWEST_VERSION = 46, 67
"""The API versions that this org offers; replies differ below 46."""
MAX_URI = 16_384
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the server stops: calls that hang on purpose let go."""
_HTML = "<html><head><title>Error</title></head><body><h1>Service Unavailable</h1><p>Try again later.</p></body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """An accepted call, or one that came inside another. base: `/services/data/vXX.X` as the client wrote it; user_id:
    whose session it is; names: the parts of the address that its route names; `body` is as it came."""

    org: Org
    base: str
    user_id: str
    verb: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def method(self) -> str:
        """`?_HttpMethod=PATCH` lets a client that cannot send PATCH say so in a POST."""
        return self.query.get("_HttpMethod", self.verb).upper()

    def match(self, name: str) -> str:
        return self.names[name]

    def change(self) -> Change:
        return self.org.change(self.user_id)

    def written(self, saved: list[Saved]) -> None:
        self.org.stats.written(saved)

    async def json(self) -> Any:
        """The body. Raises JSON_PARSER_ERROR, or UNSUPPORTED_MEDIA_TYPE when it does not say that it is JSON."""
        if not self.body:
            raise errors.unreadable_body("The HTTP entity body is required, but this request has no entity body.")
        declared = self.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()
        if declared != "application/json":
            raise SalesforceError(415, "UNSUPPORTED_MEDIA_TYPE", f"Content type '{declared}' not supported.")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as exc:
            raise errors.unreadable_body(str(exc)) from None

    def reply(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        pretty = self.headers.get("X-PrettyPrint") == "1"
        return json_reply(body, status, headers, pretty=pretty)


Handler = Callable[[Call], Awaitable[web.Response]]


def json_reply(
    body: Any, status: int = 200, headers: dict[str, str] | None = None, *, pretty: bool = False
) -> web.Response:
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2 if pretty else None),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="UTF-8",
    )


def guarded(org: Org, kind: CallKind, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler behind the gate. `kind` is for the statistics and for faults that are kept to one."""

    async def handle(request: web.Request) -> web.StreamResponse:
        now = org.clock()
        org.stats.call(kind)
        try:
            if spoiled := await spoil(org, kind, request):
                return spoiled
            call = await _admit(org, request, now)
            try:
                if rule := org.faults.strike("lock_request", kind) if kind == "write" else None:
                    raise errors.locked(rule.status or 400, ["000000000000000AAA"])
                response = await answer(call, handler)
            except SalesforceError as error:
                response = json_reply(error.body(), error.status)
            response.headers["Sforce-Limit-Info"] = org.usage.header(now)
        except SalesforceError as error:
            return json_reply(error.body(), error.status)
        if org.faults.strike("drop_after", kind):
            return drop(request)
        return response

    return handle


async def answer(call: Call, handler: Handler) -> web.Response:
    """The handler's reply, or its refusal in Salesforce's shape."""
    try:
        return await handler(call)
    except SeveralMatches as several:
        return _several(call, several)
    except SalesforceError as error:
        return json_reply(error.body(), error.status)


async def spoil(org: Org, kind: CallKind, request: web.Request) -> web.Response | None:
    """What latency and faults do before any work; a reply or an error of theirs ends the call."""
    if delay := org.latency.draw():
        await asyncio.sleep(delay)
    if rule := org.faults.strike("hang", kind):
        with suppress(TimeoutError):
            await asyncio.wait_for(request.app[STOPPING].wait(), rule.seconds)
        return drop(request)
    if rule := org.faults.strike("error_html", kind):
        return web.Response(text=_HTML, status=rule.status or 503, content_type="text/html")
    if rule := org.faults.strike("error_json", kind):
        error = SalesforceError(rule.status or 503, "SERVER_UNAVAILABLE", "The server is temporarily unavailable")
        return json_reply(error.body(), error.status)
    if org.faults.strike("throttle", kind):
        raise errors.limit_exceeded("ConcurrentPerOrgLongTxn")
    if kind != "auth" and org.faults.strike("expire_session", kind):
        org.sessions.end(bearer(request))
    return None


async def _admit(org: Org, request: web.Request, now: datetime) -> Call:
    if len(request.raw_path) > MAX_URI:
        raise SalesforceError(414, "URI_TOO_LONG", f"The URI exceeds the maximum length of {MAX_URI} bytes")
    version = request.match_info["version"]
    whole, _, fraction = version.partition(".")
    if not (whole.isdigit() and fraction == "0" and OLDEST_VERSION <= int(whole) <= NEWEST_VERSION):
        raise errors.not_found()
    user_id = org.sessions.user(bearer(request), now)
    if user_id is None:
        raise errors.session_expired()
    org.usage.count(now)
    return Call(
        org,
        base=f"/services/data/v{version}",
        user_id=user_id,
        verb=request.method,
        names=request.match_info,
        query=request.query,
        headers=request.headers,
        body=await request.read(),
    )


def bearer(request: web.Request) -> str:
    """The token of `Authorization: Bearer …` (or Salesforce's older `OAuth …`), empty when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() in {"bearer", "oauth"} else ""


def _several(call: Call, several: SeveralMatches) -> web.Response:
    """An external id in the address that names several records is answered with their addresses."""
    sobject = sobject_named(call.org.schema, call.match("object"))
    return call.reply([f"{call.base}/sobjects/{sobject.name}/{id18}" for id18 in several.ids], 300)


def drop(request: web.Request) -> web.Response:
    """Cuts the connection, so that the caller cannot know what was done."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


@web.middleware
async def salesforce_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Addresses and methods that no handler takes, in Salesforce's shape."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        allowed = ",".join(sorted(refused.allowed_methods))
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
        return json_reply(SalesforceError(405, "METHOD_NOT_ALLOWED", message).body(), 405, {"Allow": allowed})
    except web.HTTPNotFound:
        return json_reply(errors.not_found().body(), 404)


def dated(org: Org) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Every reply tells the org's own time, by which a client bounds its polls."""

    async def set_date(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(org.clock(), usegmt=True)

    return set_date
