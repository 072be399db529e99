"""The org's addresses: which handler answers which, and what kind of call it is."""

from __future__ import annotations

import asyncio

from aiohttp import web

from syncline.simorg.api import collections, discovery, login, query, rows
from syncline.simorg.api.call import STOPPING, Handler, dated, guarded, salesforce_errors
from syncline.simorg.api.control import Control
from syncline.simorg.faults import CallKind
from syncline.simorg.org import Org

_MAX_BODY = 1 << 30
"""Bytes; a load of a hundred thousand records is one request."""

_SOBJECT = "/sobjects/{object}"
_MANY = "/composite/sobjects"
_ROUTES: tuple[tuple[str, str, CallKind, Handler], ...] = (
    ("GET", "", "read", discovery.resources),
    ("GET", "/limits", "read", discovery.limits),
    ("GET", "/composite", "read", discovery.composite),
    ("GET", "/query", "query", query.query),
    ("GET", "/queryAll", "query", query.query_all),
    ("GET", "/query/{locator}", "query", query.query_more),
    ("GET", "/queryAll/{locator}", "query", query.query_more),
    ("POST", _MANY, "write", collections.create),
    ("PATCH", _MANY, "write", collections.update),
    ("DELETE", _MANY, "write", collections.delete),
    ("GET", _MANY + "/{object}", "read", collections.retrieve),
    ("POST", _MANY + "/{object}", "read", collections.retrieve_by_body),
    ("PATCH", _MANY + "/{object}/{field}", "write", collections.upsert),
    ("GET", "/sobjects", "read", discovery.describe_global),
    ("GET", _SOBJECT, "read", rows.information),
    ("POST", _SOBJECT, "write", rows.create),
    ("GET", _SOBJECT + "/describe", "read", discovery.describe),
    ("GET", _SOBJECT + "/updated", "read", rows.updated),
    ("GET", _SOBJECT + "/deleted", "read", rows.deleted),
    ("POST", _SOBJECT + "/Id", "write", rows.create_by_id),
    ("GET", _SOBJECT + "/{id}", "read", rows.read),
    ("PATCH", _SOBJECT + "/{id}", "write", rows.update),
    ("POST", _SOBJECT + "/{id}", "write", rows.update),
    ("DELETE", _SOBJECT + "/{id}", "write", rows.delete),
    ("GET", _SOBJECT + "/{field}/{value}", "read", rows.read_by_key),
    ("PATCH", _SOBJECT + "/{field}/{value}", "write", rows.upsert),
    ("POST", _SOBJECT + "/{field}/{value}", "write", rows.upsert),
    ("DELETE", _SOBJECT + "/{field}/{value}", "write", rows.delete_by_key),
)


def build_app(org: Org) -> web.Application:
    app = web.Application(middlewares=[salesforce_errors], client_max_size=_MAX_BODY)
    app[STOPPING] = asyncio.Event()
    app.on_shutdown.append(_stop)
    app.on_response_prepare.append(dated(org))
    router = app.router
    router.add_get("/services/data{slash:/?}", discovery.versions)
    router.add_post("/services/oauth2/token", login.token(org))
    for method, path, kind, handler in _ROUTES:
        address = f"/services/data/v{{version}}{path}{{slash:/?}}"  # Salesforce takes a final slash everywhere
        router.add_route(method, address, guarded(org, kind, handler))
    app.add_routes(Control(org).routes())
    return app


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()
