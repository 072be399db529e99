"""Which version of the API to speak. "Versions" in the REST API Developer Guide."""

from __future__ import annotations

import re
from typing import Any

from syncline.contracts.errors import Fatal
from syncline.salesforce.protocol import Request

OLDEST = 57
"""The oldest version whose replies the protocol knows."""

VERSIONS = Request("GET", "/services/data", "read")
"""Needs no token and is not counted against the org's quota."""


def checked(version: str) -> str:
    """`67.0`, however it was written (67, v67.0). Raises Fatal."""
    found = re.fullmatch(r"v?([0-9]{1,3})(\.0)?", version)
    if not found or int(found[1]) < OLDEST:
        raise Fatal(f"api_version {version!r} is not one that Syncline speaks: {OLDEST}.0 or later, or none at all")
    return f"{int(found[1])}.0"


def newest(content: Any) -> str:
    """The newest version that the org offers. Raises Fatal."""
    try:
        offered = max(float(item["version"]) for item in content)
    except (TypeError, KeyError, ValueError):
        raise Fatal("/services/data lists no versions: check that login_url is a Salesforce org") from None
    return checked(f"{offered:.0f}")
