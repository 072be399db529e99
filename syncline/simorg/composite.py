"""What a composite request may say, and how its parts refer to each other: pure.

Rules: "Composite", "Composite Request Body" and "Composite Subrequest" in the REST API Developer Guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.simorg import errors
from syncline.simorg.errors import SalesforceError

MAX_PARTS = 25
MAX_BULKY = 5
"""So many of the parts may be queries or sObject Collections."""
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_OWN_HEADERS = ("accept", "authorization", "content-type")


@dataclass(frozen=True, slots=True)
class Part:
    """A subrequest as it came. body None: it has none."""

    method: str
    url: str
    reference: str
    headers: Mapping[str, str]
    body: Any

    @property
    def refers(self) -> bool:
        return any(_REFERENCE.search(text) for text in (self.url, str(self.body)))


@dataclass(frozen=True, slots=True)
class Composite:
    parts: Sequence[Part]
    all_or_none: bool
    collates: bool


def read_composite(body: object) -> Composite:
    """Raises RequestError: nothing of a request that cannot be read is done."""
    if not isinstance(body, dict) or not isinstance(given := body.get("compositeRequest"), list) or not given:
        raise errors.unreadable_body("The request body must hold 'compositeRequest', an array of subrequests")
    if unknown := set(body) - {"compositeRequest", "allOrNone", "collateSubrequests"}:
        raise errors.unreadable_body(f'Unrecognized field "{min(unknown)}"')
    if len(given) > MAX_PARTS:
        raise errors.RequestError(400, "LIMIT_EXCEEDED", f"The limit of {MAX_PARTS} subrequests was exceeded")
    parts = [_part(each) for each in given]
    if len({part.reference for part in parts}) < len(parts):
        raise errors.unreadable_body("Each referenceId must be unique within the composite request")
    return Composite(parts, body.get("allOrNone") is True, body.get("collateSubrequests") is not False)


def in_order(composite: Composite, writes: Callable[[Part], bool]) -> list[int]:
    """The places of the parts as they are carried out. Salesforce gives no order away where it may collate and no part
    refers to another; here the writes then come first, so that nobody relies on the order that he wrote."""
    places = list(range(len(composite.parts)))
    if not composite.collates or any(part.refers for part in composite.parts):
        return places
    return sorted(places, key=lambda place: not writes(composite.parts[place]))


def resolved(value: Any, results: Mapping[str, Any]) -> Any:
    """With every `@{reference.path}` replaced. Raises PROCESSING_HALTED where one leads nowhere."""
    if isinstance(value, dict):
        return {name: resolved(each, results) for name, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, results) for each in value]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _follow(whole, results)
    return _REFERENCE.sub(lambda found: str(_follow(found, results)), value)


def halted() -> list[dict[str, Any]]:
    """What the others get when all or none were wanted and one failed."""
    message = "The transaction was rolled back since another operation in the same transaction failed."
    return SalesforceError(400, "PROCESSING_HALTED", message).body()


def _part(given: object) -> Part:
    if not isinstance(given, dict):
        raise errors.unreadable_body("Each subrequest must be an object")
    if unknown := set(given) - {"method", "url", "referenceId", "body", "httpHeaders"}:
        raise errors.unreadable_body(f'Unrecognized field "{min(unknown)}"')
    method, url, reference = (given.get(name) for name in ("method", "url", "referenceId"))
    if method not in METHODS:
        raise errors.unreadable_body(f"Invalid method: {method}")
    if not isinstance(url, str) or not url.startswith("/services/data/"):
        raise errors.unreadable_body(f"Invalid url: {url}")
    if not isinstance(reference, str) or not _ID.fullmatch(reference):
        raise errors.unreadable_body(f"Invalid referenceId: {reference}")
    headers = given.get("httpHeaders") or {}
    if not isinstance(headers, dict) or any(str(name).lower() in _OWN_HEADERS for name in headers):
        raise errors.unreadable_body(f"httpHeaders may not name {', '.join(_OWN_HEADERS)}")
    return Part(method, url, reference, headers, given.get("body"))


def _follow(found: re.Match[str], results: Mapping[str, Any]) -> Any:
    name, path = found.groups()
    value: Any = results.get(name)
    for field, place in _STEP.findall(path):
        try:
            value = value[field] if field else value[int(place)]
        except (KeyError, IndexError, TypeError):
            message = f"Invalid reference specified. No value for {name}{path} found in {name}"
            raise SalesforceError(400, "PROCESSING_HALTED", message) from None
    return value
