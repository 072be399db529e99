"""Ids, versions and times that other systems write in many ways, in the one way that a Change has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from syncline.contracts.foreign.door import refusal

LONGEST = 255
"""Characters of an id or a version: what an external-ID field of Salesforce holds ("Custom Field Types")."""
DIGITS = 20
"""A number of 64 bits has no more, so that padded ones sort as text."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Missing:
    """Stands for a field that an event does not have; None is one that is empty."""


MISSING = Missing()


def at(row: Mapping[str, Any], name: str) -> Any:
    """The field of that name, else the one that a dotted name leads to; MISSING when there is none. What lies below an
    object that is null is null."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def record_id(parts: Sequence[tuple[str, Any]], remedy: str) -> str:
    """Named values as one id; several are joined by slashes, with their own slashes escaped."""
    texts = []
    for name, value in parts:
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            kind = "missing" if value is MISSING else f"{value!r:.40}"
            raise refusal(f"the record's id must be text or a whole number, {name} is {kind}", remedy, name)
        texts.append(str(value))
    text = texts[0] if len(texts) == 1 else "/".join(quote(each, safe="") for each in texts)
    return _short(text, "the record's id", remedy)


def version(text: str, remedy: str) -> str:
    """A producer's own version. A number is padded, or 10 would sort before 9."""
    return _short(text.rjust(DIGITS, "0") if text.isascii() and text.isdigit() else text, "the version", remedy)


def moment(text: str, place: str, remedy: str) -> str:
    """RFC 3339 as it sorts: UTC, with microseconds."""
    try:
        if not _RFC3339.fullmatch(text.upper()):
            raise ValueError(text)
        return _rfc3339(datetime.fromisoformat(text.upper()).astimezone(UTC))
    except (ValueError, OverflowError):
        raise refusal(
            f"{place} must be a time with its offset, as 2026-01-31T12:00:00Z, not {text!r:.60}", remedy, place
        ) from None


def since_epoch(microseconds: int, place: str, remedy: str) -> str:
    try:
        return _rfc3339(EPOCH + timedelta(microseconds=microseconds))
    except OverflowError:
        raise refusal(f"{place} is no time between the years 1 and 9999: {microseconds}", remedy, place) from None


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _short(text: str, what: str, remedy: str) -> str:
    if not 0 < len(text) <= LONGEST or "\0" in text:
        raise refusal(f"{what} must have 1 to {LONGEST} characters and no U+0000", remedy)
    return text
