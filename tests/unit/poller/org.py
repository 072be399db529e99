"""A simulated org without a port: the same rows, the same SOQL, the clock in the test's hand."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from services.poller.sources.salesforce import Pace, SalesforceSource
from syncline.contracts.errors import Throttled, Transient
from syncline.contracts.ref import Object
from syncline.salesforce.errors import LocatorExpired
from syncline.salesforce.pages import Page
from syncline.salesforce.protocol import Limits
from syncline.simorg import Org

ACCOUNT = Object("salesforce", "Account")
START = datetime(2026, 11, 20, 10, tzinfo=UTC)


class World:
    """The org, and as much of the client as the poller uses.

    page: rows of a page. dead_locators: so many next pages are refused, so that the query must be asked again.
    """

    def __init__(self, page: int = 3) -> None:
        self.now = START
        self.org = Org(clock=lambda: self.now, rng=random.Random(1))
        self.page = page
        self.dead_locators = 0
        self.server_time: datetime | None = None
        self.usage: Limits | None = None
        self.statements: list[str] = []
        self.failing: Exception | None = None

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def write(self, name: str, *, id: str | None = None, late: float = 0, **fields: Any) -> str:
        """Commits now a row whose stamp is `late` seconds old. Returns its id."""
        stamp = (self.now - timedelta(seconds=late)).strftime("%Y-%m-%dT%H:%M:%SZ")
        row = {"Name": name, "SystemModstamp": stamp, **({"Id": id} if id else {}), **fields}
        if id is not None:
            row["CreatedDate"] = START.isoformat()
        return self.org.load({"Account": [row]})["Account"][0]

    def stored(self) -> dict[str, dict[str, Any]]:
        return {str(record["Id"]): record for record in self.org.records("Account")}

    async def request(self, _: Any) -> Any:
        if self.failing:
            raise self.failing
        self.server_time = self.now.replace(microsecond=0)

    async def query(self, soql: str, *, include_deleted: bool = False) -> AsyncIterator[Page]:
        self.statements.append(soql)
        answer = self.org.query(soql, include_deleted=include_deleted)
        assert answer.render
        rows = [answer.render(row, "/services/data/v67.0") for row in answer.rows]
        for start in range(0, max(1, len(rows)), self.page):
            if start and self.dead_locators:
                self.dead_locators -= 1
                raise LocatorExpired("the locator is gone")
            yield Page(rows[start : start + self.page], len(rows), None)

    def source(
        self, *, overlap: float = 300, memory: int = 10_000, pace: Pace | None = None, **other: Any
    ) -> SalesforceSource:
        given: dict[str, Any] = {"days": 7, "lag": 2, "interval": 30, "fields": ("Name", "Phone"), **other}
        return SalesforceSource(ACCOUNT, self, pace or Pace(), instance="main", overlap=overlap, memory=memory, **given)


DOWN = Transient("Salesforce cannot be reached")
THROTTLED = Throttled("TotalRequests Limit exceeded.", 60)
