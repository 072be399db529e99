"""getUpdated and getDeleted.

Rules: "Get Updated" and "Get Deleted" in the REST API Developer Guide: seconds are ignored, updates reach back 30 days,
deletions 15.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from syncline.simorg.errors import SalesforceError
from syncline.simorg.store import Table
from syncline.simorg.times import minute, stamp

_UPDATED_REACH = timedelta(days=30)
_DELETED_REACH = timedelta(days=15)


def updated(table: Table, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
    """Ids of living records created or changed from `start` to before `end`."""
    start, end = _window(start, end, now - _UPDATED_REACH)
    rows = table.by_stamp(stamp(start), stamp(end))
    return {
        "ids": [row["Id"] for row in rows if not row["IsDeleted"]],
        "latestDateCovered": stamp(min(end, minute(now))),
    }


def deleted(table: Table, start: datetime, end: datetime, now: datetime) -> dict[str, Any]:
    """Records deleted in that time; a deletion moves SystemModstamp, and nothing can after it."""
    start, end = _window(start, end, now - _DELETED_REACH)
    rows = table.by_stamp(stamp(start), stamp(end))
    return {
        "deletedRecords": [{"deletedDate": row["SystemModstamp"], "id": row["Id"]} for row in rows if row["IsDeleted"]],
        "earliestDateAvailable": stamp(minute(now - _DELETED_REACH)),
        "latestDateCovered": stamp(min(end, minute(now))),
    }


def _window(start: datetime, end: datetime, earliest: datetime) -> tuple[datetime, datetime]:
    start, end = minute(start), minute(end)
    if start >= end:
        raise SalesforceError(400, "INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate")
    if start < minute(earliest):
        raise SalesforceError(
            400,
            "INVALID_REPLICATION_DATE",
            f"startDate is before the earliest available date {stamp(minute(earliest))}",
        )
    return start, end
