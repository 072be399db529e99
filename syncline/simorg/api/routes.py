"""Which handler answers which address, and what kind of call it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from syncline.simorg import errors
from syncline.simorg.api import collections, discovery, query, rows
from syncline.simorg.api.call import Handler
from syncline.simorg.errors import SalesforceError
from syncline.simorg.faults import CallKind

Group = Literal["rows", "query", "collections", "other"]


@dataclass(frozen=True, slots=True)
class Route:
    """path: below `/services/data/vXX.X`, with {names} for parts of it."""

    method: str
    path: str
    kind: CallKind
    handler: Handler
    group: Group = "other"

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path) + "/?")


_SOBJECT = "/sobjects/{object}"
_MANY = "/composite/sobjects"
ROUTES: tuple[Route, ...] = (
    Route("GET", "", "read", discovery.resources),
    Route("GET", "/limits", "read", discovery.limits),
    Route("GET", "/composite", "read", discovery.composite),
    Route("GET", "/query", "query", query.query, "query"),
    Route("GET", "/queryAll", "query", query.query_all, "query"),
    Route("GET", "/query/{locator}", "query", query.query_more, "query"),
    Route("GET", "/queryAll/{locator}", "query", query.query_more, "query"),
    Route("POST", _MANY, "write", collections.create, "collections"),
    Route("PATCH", _MANY, "write", collections.update, "collections"),
    Route("DELETE", _MANY, "write", collections.delete, "collections"),
    Route("GET", _MANY + "/{object}", "read", collections.retrieve, "collections"),
    Route("POST", _MANY + "/{object}", "read", collections.retrieve_by_body, "collections"),
    Route("PATCH", _MANY + "/{object}/{field}", "write", collections.upsert, "collections"),
    Route("GET", "/sobjects", "read", discovery.describe_global, "rows"),
    Route("GET", _SOBJECT, "read", rows.information, "rows"),
    Route("POST", _SOBJECT, "write", rows.create, "rows"),
    Route("GET", _SOBJECT + "/describe", "read", discovery.describe, "rows"),
    Route("GET", _SOBJECT + "/updated", "read", rows.updated, "rows"),
    Route("GET", _SOBJECT + "/deleted", "read", rows.deleted, "rows"),
    Route("POST", _SOBJECT + "/Id", "write", rows.create_by_id, "rows"),
    Route("GET", _SOBJECT + "/{id}", "read", rows.read, "rows"),
    Route("PATCH", _SOBJECT + "/{id}", "write", rows.update, "rows"),
    Route("POST", _SOBJECT + "/{id}", "write", rows.update, "rows"),
    Route("DELETE", _SOBJECT + "/{id}", "write", rows.delete, "rows"),
    Route("GET", _SOBJECT + "/{field}/{value}", "read", rows.read_by_key, "rows"),
    Route("PATCH", _SOBJECT + "/{field}/{value}", "write", rows.upsert, "rows"),
    Route("POST", _SOBJECT + "/{field}/{value}", "write", rows.upsert, "rows"),
    Route("DELETE", _SOBJECT + "/{field}/{value}", "write", rows.delete_by_key, "rows"),
)
_PATTERNS: Sequence[tuple[Route, re.Pattern[str]]] = [(route, route.pattern) for route in ROUTES]


def find(method: str, address: str) -> tuple[Route, dict[str, str], dict[str, str]]:
    """The route of an address below the API version's root, the parts that it names, and the query.

    Raises NOT_FOUND, METHOD_NOT_ALLOWED.
    """
    path, _, asked = address.partition("?")
    matched = [(route, found) for route, pattern in _PATTERNS if (found := pattern.fullmatch(path))]
    for route, found in matched:
        if route.method == method:
            return route, {name: unquote(part) for name, part in found.groupdict().items()}, dict(parse_qsl(asked))
    if not matched:
        raise errors.not_found()
    allowed = ",".join(sorted({route.method for route, _ in matched}))
    raise SalesforceError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {allowed}")
