"""sObject Collections over REST; what they do is in the module of that name beside the org."""

from __future__ import annotations

from aiohttp import web

from syncline.simorg import errors
from syncline.simorg.api.call import Call
from syncline.simorg.collections import Outcome


async def create(call: Call) -> web.Response:
    return _reply(call, call.org.collections.create(await call.json(), call.change()))


async def update(call: Call) -> web.Response:
    return _reply(call, call.org.collections.update(await call.json(), call.change()))


async def upsert(call: Call) -> web.Response:
    body = await call.json()
    return _reply(call, call.org.collections.upsert(call.match("object"), call.match("field"), body, call.change()))


async def delete(call: Call) -> web.Response:
    all_or_none = call.query.get("allOrNone", "").lower() == "true"
    return _reply(call, call.org.collections.delete(_names(call, "ids"), all_or_none, call.change()))


async def retrieve(call: Call) -> web.Response:
    rows = call.org.collections.retrieve(call.match("object"), _names(call, "ids"), _names(call, "fields"), call.base)
    return call.reply(rows)


async def retrieve_by_body(call: Call) -> web.Response:
    """For more ids than fit into an address."""
    body = await call.json()
    ids, fields = (_texts(body, name) for name in ("ids", "fields"))
    return call.reply(call.org.collections.retrieve(call.match("object"), ids, fields, call.base))


def _names(call: Call, parameter: str) -> list[str]:
    names = [name.strip() for name in call.query.get(parameter, "").split(",") if name.strip()]
    if not names:
        raise errors.missing_argument(f"The {parameter} parameter is required")
    return names


def _texts(body: object, name: str) -> list[str]:
    texts = body.get(name) if isinstance(body, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise errors.unreadable_body(f"The request body must hold '{name}', an array of strings")
    return texts


def _reply(call: Call, outcome: Outcome) -> web.Response:
    call.written(outcome.saved)
    return call.reply(outcome.results)
