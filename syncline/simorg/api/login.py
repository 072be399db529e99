"""The token endpoint over HTTP. It is not counted against the quota."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from syncline.simorg.api.call import drop, json_reply, spoil
from syncline.simorg.auth import LoginError
from syncline.simorg.errors import SalesforceError
from syncline.simorg.org import Org


def token(org: Org) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        org.stats.call("auth")
        try:
            if spoiled := await spoil(org, "auth", request):
                return spoiled
        except SalesforceError as error:
            return json_reply(error.body(), error.status)
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        try:
            reply = org.login.reply(form, request.headers.get("Authorization"), str(request.url.origin()), org.clock())
        except LoginError as refused:
            return json_reply(refused.body, 400)
        if org.faults.strike("drop_after", "auth"):
            return drop(request)
        return json_reply(reply, headers={"Cache-Control": "no-cache, no-store"})

    return handle
