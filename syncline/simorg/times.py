"""Dates and times as Salesforce stores and prints them.

A datetime is kept as its own JSON text, `2026-11-20T10:00:00.000+0000`: always UTC, always 28 characters, so that text
order is time order and nothing is converted on the way out. Dates are `2026-11-20`.
Rules: "Primitive Data Types" in Salesforce's Object Reference; years run from 1700 to 4000.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_YEARS = range(1700, 4001)


def stamp(moment: datetime) -> str:
    """The stored form, cut to whole seconds as every audit field is."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def from_stamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def parse_datetime(text: str) -> datetime:
    """Raises ValueError for what Salesforce does not take: no time, no zone, an impossible date."""
    if not _DATETIME.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text).astimezone(UTC)
    if moment.year not in _YEARS:
        raise ValueError(text)
    return moment


def parse_date(text: str) -> date:
    """Raises ValueError for anything but an existing `YYYY-MM-DD`."""
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    day = date.fromisoformat(text)
    if day.year not in _YEARS:
        raise ValueError(text)
    return day


def exact(moment: datetime) -> str:
    """As stored, but with its milliseconds: for comparing with a literal that has a fraction."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00.000+0000"


def minute(moment: datetime) -> datetime:
    """Start of the minute: replication calls ignore seconds."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
