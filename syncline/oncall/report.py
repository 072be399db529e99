"""What a run came to: the results of a span of time, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from syncline.config.settings import Settings
from syncline.contracts.errors import Malformed
from syncline.contracts.result import Outcome, Result
from syncline.contracts.topics import Topic
from syncline.runtime.admin import check_topics
from syncline.runtime.scan import Progress, Record, reader, stream
from syncline.timeline.fetched import moment

KINDS = 1000
"""So many reasons are told apart; the rest count as others."""
OTHERS = "(others)"

Reason = tuple[str, Outcome, str]
"""Pipeline, outcome, and why: the code of a rejection, else the reason without the records' names."""


class Report:
    """outcomes: by pipeline and outcome. created: records made, of those written. unreadable: messages that are no
    results. first, last: when the first and the last result were published."""

    def __init__(self, pipeline: str | None = None) -> None:
        self._pipeline = pipeline
        self.outcomes: Counter[tuple[str, Outcome]] = Counter()
        self.created: Counter[str] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.unreadable = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                result = Result.decode(record.value)
            except Malformed:
                self.unreadable += 1
                continue
            # Each lies under its target's key too.
            if record.key == str(result.source).encode() and self._pipeline in (None, result.pipeline):
                self._count(result, moment(record.timestamp))

    def _count(self, result: Result, at: datetime) -> None:
        self.outcomes[result.pipeline, result.outcome] += 1
        self.created[result.pipeline] += result.created
        self.first = min(self.first or at, at)
        self.last = max(self.last or at, at)
        if result.reason:
            reason = (result.pipeline, result.outcome, _kind(result))
            if reason not in self.reasons and len(self.reasons) >= KINDS:
                reason = (result.pipeline, result.outcome, OTHERS)
            self.reasons[reason] += 1


def _kind(result: Result) -> str:
    reason = result.reason or ""
    if result.outcome == "rejected":
        return reason.partition(":")[0]
    for ref in (result.source, result.target):
        reason = reason.replace(str(ref), "the record") if ref else reason
    return reason


async def report(
    settings: Settings, *, pipeline: str | None, since: datetime | None, until: datetime | None, progress: Progress
) -> Report:
    """Raises Transient, Fatal."""
    topic = settings.names.results
    await check_topics(settings.kafka, [Topic(topic)], partitions=settings.partitions)
    counted = Report(pipeline)
    async with reader(settings.kafka) as consumer:
        places = {topic: range(settings.partitions)}
        async for records in stream(consumer, places, since=since, until=until, progress=progress):
            counted.add(records)
    return counted
