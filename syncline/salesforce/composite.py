"""Several requests in one call, carried out in their order: "Composite" in the REST API Developer Guide. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from syncline.contracts.errors import Fatal
from syncline.salesforce.protocol import Request, encode, errors_in, refusal

_JSON = {"Content-Type": "application/json"}


def composite_request(parts: Sequence[Request], version: str) -> Request:
    """Never repeated when nobody knows whether it was carried out: by then the first parts would find another state.

    At most 25 parts, of which 5 are queries or collections. Each succeeds or fails on its own.
    """
    subrequests = [
        {
            "method": part.method,
            "url": part.url("", version),
            "referenceId": f"part{place}",
            "httpHeaders": {name: value for name, value in part.headers.items() if name not in _JSON},
            **({"body": orjson.Fragment(part.body)} if part.body else {}),
        }
        for place, part in enumerate(parts)
    ]
    # Salesforce may else put parts of one kind together and change their order.
    content = {"allOrNone": False, "collateSubrequests": False, "compositeRequest": subrequests}
    return Request("POST", "/composite", "write", headers=_JSON, body=encode(content))


def read_composite(request: Request, parts: Sequence[Request], content: Any) -> list[Any]:
    """What each part was answered. Raises what the first of them that was refused asks for."""
    replies = content.get("compositeResponse") if isinstance(content, dict) else None
    if not isinstance(replies, list) or len(replies) != len(parts):
        raise Fatal(f"{request}: Salesforce did not answer all {len(parts)} parts; was the reply altered on the way?")
    for part, reply in zip(parts, replies, strict=True):
        if reply["httpStatusCode"] >= 300:
            raise refusal(part, errors_in(reply["body"]), status=reply["httpStatusCode"])
    return [reply["body"] for reply in replies]
