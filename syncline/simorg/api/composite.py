"""Several calls in one, which counts as one: "Composite" in the REST API Developer Guide."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from syncline.simorg import errors
from syncline.simorg.api.call import Call, answer
from syncline.simorg.api.routes import find
from syncline.simorg.composite import MAX_BULKY, Composite, Part, halted, in_order, read_composite, resolved
from syncline.simorg.errors import SalesforceError

Reply = dict[str, Any]
_JSON = {"Content-Type": "application/json"}


class _RollBack(Exception):
    pass


async def composite(call: Call) -> web.Response:
    """Always 200; each part has its own status. Nothing in here waits for anything, so it is one transaction."""
    asked = read_composite(await call.json())
    if sum(_group(call, part) in ("query", "collections") for part in asked.parts) > MAX_BULKY:
        message = f"The limit of {MAX_BULKY} query and sObject Collections subrequests was exceeded"
        raise errors.RequestError(400, "LIMIT_EXCEEDED", message)
    replies: dict[int, Reply] = {}
    rows = call.org.stats.rows.copy()
    try:
        with call.org.store.transaction():
            await _run(call, asked, replies)
    except _RollBack:
        call.org.stats.rows = rows
    for place, part in enumerate(asked.parts):
        replies.setdefault(place, _reply(part, halted(), 400))
    return call.reply({"compositeResponse": [replies[place] for place in range(len(asked.parts))]})


async def _run(call: Call, asked: Composite, replies: dict[int, Reply]) -> None:
    """Raises _RollBack, with only the culprit's reply left, when all or none were wanted and one failed."""
    results: dict[str, Any] = {}
    for place in in_order(asked, lambda part: part.method != "GET"):
        part = asked.parts[place]
        replies[place] = reply = await _part(call, part, results)
        if reply["httpStatusCode"] < 300:
            results[part.reference] = reply["body"]
        if asked.all_or_none and _failed(reply):
            replies.clear()
            replies[place] = reply
            raise _RollBack


async def _part(call: Call, part: Part, results: dict[str, Any]) -> Reply:
    try:
        url, body = resolved(part.url, results), resolved(part.body, results)
        route, names, query = find(part.method, url.removeprefix(call.base))
        if route.group == "other":
            raise errors.not_found()
    except SalesforceError as error:
        return _reply(part, error.body(), error.status)
    inner = Call(
        call.org,
        base=call.base,
        user_id=call.user_id,
        verb=part.method,
        names=names,
        query=query,
        headers={**part.headers, **_JSON},
        body=b"" if body is None else orjson.dumps(body),
    )
    response = await answer(inner, route.handler)
    content = orjson.loads(response.body) if isinstance(response.body, bytes) and response.body else None
    location = {name: response.headers[name] for name in ("Location",) if name in response.headers}
    return _reply(part, content, response.status, location)


def _group(call: Call, part: Part) -> str:
    try:
        return find(part.method, part.url.removeprefix(call.base))[0].group
    except SalesforceError:
        return "other"


def _failed(reply: Reply) -> bool:
    """A row that a collection refused counts too: the outer allOrNone is the one that holds."""
    body = reply["body"]
    rows = body if isinstance(body, list) else []
    return reply["httpStatusCode"] >= 300 or any(isinstance(row, dict) and row.get("success") is False for row in rows)


def _reply(part: Part, body: Any, status: int, headers: dict[str, str] | None = None) -> Reply:
    return {"body": body, "httpHeaders": headers or {}, "httpStatusCode": status, "referenceId": part.reference}
