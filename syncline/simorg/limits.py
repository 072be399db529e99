"""The org's daily API requests: a rolling window of 24 hours.

"Sforce-Limit-Info" and "Limits" in the REST API Developer Guide. Logins, `/services/data` and the control endpoints are
not counted.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from syncline.simorg import errors
from syncline.simorg.times import minute

_WINDOW = timedelta(hours=24)


class ApiUsage:
    """`quota` is the number of requests that 24 hours may hold; it can be changed while the org runs."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self._minutes: deque[tuple[datetime, int]] = deque()
        self._used = 0

    def used(self, now: datetime) -> int:
        while self._minutes and self._minutes[0][0] <= now - _WINDOW:
            self._used -= self._minutes.popleft()[1]
        return self._used

    def count(self, now: datetime) -> None:
        """Counts one call. Raises REQUEST_LIMIT_EXCEEDED when none is left."""
        if self.used(now) >= self.quota:
            raise errors.limit_exceeded("TotalRequests")
        this_minute = minute(now)
        if self._minutes and self._minutes[-1][0] == this_minute:
            self._minutes[-1] = (this_minute, self._minutes[-1][1] + 1)
        else:
            self._minutes.append((this_minute, 1))
        self._used += 1

    def header(self, now: datetime) -> str:
        """The value of `Sforce-Limit-Info`."""
        return f"api-usage={self.used(now)}/{self.quota}"

    def to_json(self, now: datetime) -> dict[str, dict[str, int]]:
        return {"DailyApiRequests": {"Max": self.quota, "Remaining": max(0, self.quota - self.used(now))}}
