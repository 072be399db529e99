"""What happens while the demo runs, told from the topics alone: results, what is held and why, dead letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.runtime.clients import new_admin, new_consumer
from syncline.runtime.security import Address


@dataclass
class Seen:
    """outcomes: (pipeline, outcome) to count, `created` and `patched` apart. skipped: reason to records.
    held: key in the mapper's table to what waits; asked: parents that were asked for."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: dict[str, set[str]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    held: set[bytes] = field(default_factory=set)
    peak: int = 0
    events: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def total(self, outcome: str) -> int:
        return sum(count for (_, each), count in self.outcomes.items() if each == outcome)

    def waiting_for(self) -> list[tuple[str, int]]:
        """Who is waited for, most awaited first."""
        return Counter(key.split(b">", 1)[0].decode() for key in self.held).most_common()


class Watch:
    """Reads all topics from their start; `seen` may be read at any time."""

    def __init__(self, address: Address, names: Names, topics: list[str], partitions: int) -> None:
        self._names = names
        self._places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        self._address = address
        self.seen = Seen()

    async def run(self) -> None:
        """Until cancelled."""
        consumer = new_consumer(self._address, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(self._places)
            while True:
                fetched = await consumer.getmany(timeout_ms=200, max_records=5000)
                for tp, records in fetched.items():
                    for record in records:
                        self._see(tp.topic, record)
        finally:
            await consumer.stop()

    def _see(self, topic: str, record: Any) -> None:
        names, seen = self._names, self.seen
        if topic == names.results:
            result = Result.decode(record.value)
            if record.key == str(result.source).encode():  # the same result comes again under the target's key
                self._result(result)
        elif topic == names.dead_letters:
            seen.letters.append(DeadLetter.decode(record.value))
        elif topic == names.requests:
            seen.asked += 1
        elif topic == names.changelog("held"):
            if record.value is None:
                seen.held.discard(record.key)
            elif not record.key.endswith(b"\0"):  # that row says only that the parent was asked for
                seen.held.add(record.key)
                seen.peak = max(seen.peak, len(seen.held))
        elif topic.startswith(f"{names.prefix}.changes."):
            seen.events[topic.removeprefix(f"{names.prefix}.changes.")] += 1
        else:
            seen.commands[topic.removeprefix(f"{names.prefix}.commands.")] += 1

    def _result(self, result: Result) -> None:
        outcome: str = result.outcome
        if outcome == "written":
            outcome = "created" if result.created else "patched"
        self.seen.outcomes[result.pipeline, outcome] += 1
        if outcome == "skipped":
            self.seen.skipped.setdefault(result.reason or "", set()).add(str(result.source))


class Lag:
    """How many records the services' groups have yet to take."""

    def __init__(self, address: Address, names: Names, topics: list[str], partitions: int) -> None:
        self._address = address
        self._places = [TopicPartition(topic, number) for topic in topics for number in range(partitions)]
        self._groups = [f"{names.prefix}-poller", names.mapper, f"{names.prefix}-writer"]

    async def __aenter__(self) -> Lag:
        self._admin = new_admin(self._address)
        self._consumer = new_consumer(self._address)
        await self._admin.start()
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def __call__(self) -> dict[str, int]:
        """Per topic; one that no group has committed yet counts whole."""
        ends = await self._consumer.end_offsets(self._places)
        done: dict[TopicPartition, int] = {}
        for group in self._groups:
            for tp, committed in (await self._admin.list_consumer_group_offsets(group)).items():
                done[tp] = max(done.get(tp, 0), committed.offset)
        lag: Counter[str] = Counter()
        for tp, end in ends.items():
            lag[tp.topic] += max(0, end - done.get(tp, 0))
        return dict(lag)
