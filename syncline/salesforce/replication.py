"""Which records changed or were deleted in a stretch of time.

"Get Updated" and "Get Deleted" in the REST API Developer Guide: seconds of start and end are ignored; 30 days back
for updates, 15 for deletes (RecordRejected with INVALID_REPLICATION_DATE beyond). Go on from `covered`, not from the
end that was asked for, and overlap: a deletion may be listed with a time after `covered`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from syncline.contracts.errors import Fatal
from syncline.salesforce.protocol import Request
from syncline.salesforce.soql import Name


@dataclass(frozen=True, slots=True)
class Updated:
    """Created ones included."""

    ids: tuple[str, ...]
    covered: datetime


@dataclass(frozen=True, slots=True)
class Deleted:
    """ids with the time of each deletion. earliest: how far back Salesforce could have told."""

    ids: tuple[tuple[str, datetime], ...]
    earliest: datetime
    covered: datetime


def changes_request(name: str, which: Literal["updated", "deleted"], start: datetime, end: datetime) -> Request:
    """start and end are aware. Raises ValueError."""
    if start.tzinfo is None or end.tzinfo is None or not start < end:
        raise ValueError("start and end must have a time zone, and start must be the earlier")
    query = {"start": _iso(start), "end": _iso(end)}
    return Request("GET", f"/sobjects/{Name(name)}/{which}/", "read", query=query)


def read_updated(content: Any) -> Updated:
    try:
        return Updated(tuple(content["ids"]), _time(content["latestDateCovered"]))
    except (TypeError, KeyError, ValueError):
        raise _unreadable("updated") from None


def read_deleted(content: Any) -> Deleted:
    try:
        return Deleted(
            tuple((row["id"], _time(row["deletedDate"])) for row in content["deletedRecords"]),
            _time(content["earliestDateAvailable"]),
            _time(content["latestDateCovered"]),
        )
    except (TypeError, KeyError, ValueError):
        raise _unreadable("deleted") from None


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _unreadable(which: str) -> Fatal:
    return Fatal(f"Salesforce's list of {which} records is not in its documented form; was it altered on the way?")
