"""SOQL over REST: "Query", "QueryAll" and "Get More Results from a Query" in the REST API Developer Guide."""

from __future__ import annotations

import re

from aiohttp import web

from syncline.simorg.api.call import Call
from syncline.simorg.errors import SalesforceError

_BATCH_SIZE = re.compile(r"(?:^|[;,])\s*batchSize\s*=\s*(\d+)\s*(?:$|[;,])", re.IGNORECASE)


async def query(call: Call) -> web.Response:
    return _run(call, include_deleted=False)


async def query_all(call: Call) -> web.Response:
    return _run(call, include_deleted=True)


async def query_more(call: Call) -> web.Response:
    org = call.org
    return call.reply(org.cursors.next_page(call.match("locator"), call.user_id, call.base, org.clock()))


def _run(call: Call, *, include_deleted: bool) -> web.Response:
    soql = call.query.get("q")
    if not soql:
        raise SalesforceError(400, "MALFORMED_QUERY", "A query string has to be specified")
    answer = call.org.query(soql, include_deleted=include_deleted)
    wish = _BATCH_SIZE.search(call.headers.get("Sforce-Query-Options", ""))
    size = int(wish[1]) if wish else None
    return call.reply(call.org.cursors.first_page(answer, call.user_id, size, call.base, call.org.clock()))
