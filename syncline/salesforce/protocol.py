"""Requests to and replies from Salesforce's REST API, without I/O.

"Status Codes and Error Responses" and "Headers" in the REST API Developer Guide. Salesforce answers by `errorCode`;
the HTTP status decides only where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

import orjson

from syncline.contracts.errors import (
    DuplicateDetected,
    Fatal,
    Malformed,
    RecordRejected,
    SynclineError,
    Throttled,
    Transient,
)
from syncline.salesforce.errors import OutcomeUnknown
from syncline.salesforce.remedies import remedy

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
Kind = Literal["query", "read", "write", "auth"]

QUOTA_PAUSE = 60.0
"""Seconds before asking again once the daily quota is used up: it comes back by and by over 24 hours."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. path: absolute from the host (`/services/...`), or from the API version's root (`/sobjects/...`).

    query, headers and body stay out of the repr: they hold customers' data or, at login, secrets.
    """

    method: Method
    path: str
    kind: Kind
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise Fatal(f"{self.path!r} is no path on the org's host, and a token goes nowhere else")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def repeatable(self) -> bool:
        """May be sent again when nobody knows whether it was carried out: all but the creation of records."""
        return self.method != "POST" or self.kind != "write"

    def url(self, base: str, version: str) -> str:
        """base: scheme and host; version: as in `67.0`. Encoded, since a bare + would arrive as a space."""
        path = self.path if self.path.startswith("/services/") else f"/services/data/v{version}{self.path}"
        return f"{base}{path}?{urlencode(self.query, quote_via=quote, safe='')}" if self.query else f"{base}{path}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls of the last 24 hours, the whole org's, as the header `Sforce-Limit-Info` tells."""

    used: int
    maximum: int

    @property
    def share(self) -> float:
        """0 to 1, more when Salesforce let the org exceed its quota."""
        return self.used / self.maximum if self.maximum else 1.0


_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Reply:
    """headers: names in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def usage(self) -> Limits | None:
        found = _USAGE.search(self.headers.get("sforce-limit-info", ""))
        return Limits(int(found[1]), int(found[2])) if found else None

    @property
    def server_time(self) -> datetime | None:
        """UTC, whole seconds: when Salesforce sent the reply."""
        try:
            return parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return None

    @property
    def retry_after(self) -> float | None:
        hint = self.headers.get("retry-after", "")
        return float(hint) if re.fullmatch(r"[0-9]{1,6}", hint) else None


def _exact(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"a {type(value).__name__} has no place in JSON")


def encode(content: Any) -> bytes:
    """JSON, with every digit of a Decimal. Raises Malformed."""
    try:
        return orjson.dumps(content, default=_exact)
    except orjson.JSONEncodeError as error:
        raise Malformed(f"cannot be sent to Salesforce as JSON: {error}") from error


def decipher(request: Request, reply: Reply) -> Any:
    """The decoded JSON, None where Salesforce sends no content; raises by what its error asks for.

    Transient (nothing was done), OutcomeUnknown (perhaps it was), Throttled, SessionExpired, LocatorExpired,
    RecordRejected (DuplicateDetected among them), Fatal.
    """
    if 200 <= reply.status < 300 and not reply.body:
        return None
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        if reply.status < 300:
            raise OutcomeUnknown(f"Salesforce's reply to {request} is not JSON; look for a proxy between") from None
        content = None  # an error page in HTML, from a proxy or an overloaded server
    if 200 <= reply.status < 300:
        return content
    if reply.status == 300:
        content = _several(content)
    raise refusal(request, errors_in(content), status=reply.status, retry_after=reply.retry_after)


def refusal(
    request: Request,
    errors: Sequence[Mapping[str, Any]],
    *,
    status: int | None = None,
    retry_after: float | None = None,
) -> SynclineError:
    """The error that stands for Salesforce's own, of which the first decides.

    status None: `errors` are those of one row, which Salesforce did not write: Transient or RecordRejected.
    """
    first: Mapping[str, Any] = errors[0] if errors else {}
    code = str(first.get("errorCode") or first.get("statusCode") or f"HTTP_{status}")
    texts = [str(error.get("message", "")) for error in errors]
    reaction, advice = remedy(code, status, texts[0] if texts else "")
    if status is None:
        reaction = _for_a_row(reaction)
    elif request.kind == "query" and issubclass(reaction, RecordRejected):
        reaction = Fatal  # no record is to blame for a query
    message = f"{request}: {code}{''.join(f': {text}' for text in texts if text)}"
    if issubclass(reaction, RecordRejected):
        fields = tuple(dict.fromkeys(str(name) for error in errors for name in error.get("fields") or ()))
        if issubclass(reaction, DuplicateDetected):
            return DuplicateDetected(message, code=code, fields=fields, remedy=advice, matches=_matches(first))
        return RecordRejected(message, code=code, fields=fields, remedy=advice)
    if issubclass(reaction, Throttled) and retry_after is None and "TotalRequests" in message:
        retry_after = QUOTA_PAUSE
    message = f"{message.rstrip('. ')}. {advice}"
    return reaction(message, retry_after) if issubclass(reaction, Transient) else reaction(message)


def _for_a_row(reaction: type[SynclineError]) -> type[SynclineError]:
    if issubclass(reaction, OutcomeUnknown):
        return Transient
    return reaction if issubclass(reaction, Transient | RecordRejected) else RecordRejected


def errors_in(content: Any) -> list[Mapping[str, Any]]:
    """Salesforce sends an array; some gateways a single object."""
    found = content if isinstance(content, list) else [content]
    return [error for error in found if isinstance(error, dict)]


def _several(content: Any) -> Any:
    """300, an upsert whose external ID several records hold: the body is a bare array of their addresses."""
    if not isinstance(content, list):
        return content
    ids = ", ".join(str(address).rpartition("/")[2] for address in content)
    return [{"errorCode": "DUPLICATE_EXTERNAL_ID", "message": f"held by {ids}"}]


def _matches(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids in a hit of a duplicate rule. Salesforce misspells the key in most versions: both spellings are read."""
    found = error.get("duplicateResut") or error.get("duplicateResult") or {}
    records = [
        match.get("record") or {}
        for result in found.get("matchResults") or ()
        for match in result.get("matchRecords") or ()
    ]
    return tuple(str(record["Id"]) for record in records if "Id" in record)
