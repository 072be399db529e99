"""What a plan costs: the calls of a quota that it spends itself, and those that carrying it out would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.writer.sinks import Sink, Write
from services.writer.sinks.salesforce import SalesforceSink
from services.writer.sinks.salesforce.calls import calls
from syncline.salesforce.client import Salesforce
from syncline.salesforce.collections import WRITE_ROWS
from syncline.salesforce.protocol import Limits


@dataclass(frozen=True, slots=True)
class Price:
    """In API calls. planning: spent by the plan; reads and writes: what carrying it out costs at full passes. used: of
    the quota in the last 24 hours, the plan's own included."""

    planning: int
    reads: int
    writes: int
    used: int
    maximum: int

    @property
    def total(self) -> int:
        return self.reads + self.writes

    @property
    def share(self) -> float:
        return self.total / self.maximum if self.maximum else 0.0


class Meter(Protocol):
    """In calls of the system's quota."""

    def spent(self) -> int:
        """Up to now, by us."""

    def writes(self, writes: Sequence[Write]) -> int:
        """For these writes of one object, which one pass sends."""

    def deletions(self, count: int) -> int:
        """For so many."""


class Free:
    """Of a system that counts no calls."""

    def spent(self) -> int:
        return 0

    def writes(self, writes: Sequence[Write]) -> int:
        return 0

    def deletions(self, count: int) -> int:
        return 0


class SalesforceMeter:
    def __init__(self, client: Salesforce) -> None:
        self._client = client

    def spent(self) -> int:
        return self._client.calls.total() - self._client.calls["auth"]

    def writes(self, writes: Sequence[Write]) -> int:
        return sum(1 for _ in calls(writes))

    def deletions(self, count: int) -> int:
        return -(-count // WRITE_ROWS)

    async def quota(self) -> Limits:
        """Of the org's last 24 hours; by the latest reply's header, else for the price of a call. Raises Transient,
        Fatal."""
        if self._client.usage:
            return self._client.usage
        daily = (await self._client.limits())["DailyApiRequests"]
        return Limits(daily["Max"] - daily["Remaining"], daily["Max"])


def meter(sink: Sink) -> Meter:
    return SalesforceMeter(sink.client) if isinstance(sink, SalesforceSink) else Free()


async def priced(reads: int, writes: int, meter: SalesforceMeter, described: int) -> Price:
    """described: objects that were described besides, by another client. Raises Transient, Fatal."""
    quota = await meter.quota()
    return Price(meter.spent() + described, reads, writes, quota.used, quota.maximum)
