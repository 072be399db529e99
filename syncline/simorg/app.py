"""The org as a web application."""

from __future__ import annotations

import asyncio

from aiohttp import web

from syncline.simorg.api import discovery, login
from syncline.simorg.api.call import STOPPING, dated, guarded, salesforce_errors
from syncline.simorg.api.composite import composite
from syncline.simorg.api.control import Control
from syncline.simorg.api.routes import ROUTES, Route
from syncline.simorg.org import Org

_MAX_BODY = 1 << 30
"""Bytes; a load of a hundred thousand records is one request."""

_COMPOSITE = Route("POST", "/composite", "write", composite)


def build_app(org: Org) -> web.Application:
    app = web.Application(middlewares=[salesforce_errors], client_max_size=_MAX_BODY)
    app[STOPPING] = asyncio.Event()
    app.on_shutdown.append(_stop)
    app.on_response_prepare.append(dated(org))
    router = app.router
    router.add_get("/services/data{slash:/?}", discovery.versions)
    router.add_post("/services/oauth2/token", login.token(org))
    for route in (*ROUTES, _COMPOSITE):
        address = f"/services/data/v{{version}}{route.path}{{slash:/?}}"  # Salesforce takes a final slash everywhere
        router.add_route(route.method, address, guarded(org, route.kind, route.handler))
    app.add_routes(Control(org).routes())
    return app


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()
