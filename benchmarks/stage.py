"""Measuring one stage: a service as it ships finds its input waiting, and the clock stops at its last output."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.bare import ROUNDS, Order
from syncline.contracts.errors import Fatal
from syncline.contracts.topics import Topic
from syncline.local.processes import Child
from syncline.local.system import System
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher

LOOK = 0.02
"""Seconds between two looks at the outputs' ends; looking takes a few hundredths of a core."""
PATIENCE = 60.0
"""Seconds without any new output after which a stage counts as stuck."""


@dataclass(frozen=True)
class Wave:
    """One start of the service over `records` that waited for it. peak_mb: the most memory that it ever held."""

    name: str
    records: int
    seconds: float
    peak_mb: int

    @property
    def rate(self) -> float:
        return self.records / self.seconds


class Row(NamedTuple):
    """Of the table; a name that begins with spaces belongs to the one above."""

    name: str
    records: str
    rate: str
    ratio: str = ""


@dataclass(frozen=True)
class Figures:
    """records: what went in, results of parents apart. bare: records/s of the bare loop over the same bytes."""

    stage: str
    records: int
    waves: tuple[Wave, ...]
    bare: float

    @property
    def seconds(self) -> float:
        return sum(wave.seconds for wave in self.waves)

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def ratio(self) -> float:
        return self.rate / self.bare

    def document(self) -> dict[str, Any]:
        """What --json prints of a stage."""
        return {
            "records": self.records,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.rate, 1),
            "bare_records_per_second": round(self.bare, 1),
            "ratio": round(self.ratio, 4),
            "waves": {
                wave.name: {
                    "records": wave.records,
                    "seconds": round(wave.seconds, 3),
                    "records_per_second": round(wave.rate, 1),
                }
                for wave in self.waves
            },
        }

    def rows(self) -> Iterator[Row]:
        yield Row(self.stage, f"{self.records:,}", f"{self.rate:,.0f}", f"{self.ratio:.3f}")
        yield Row("  bare loop", "", f"{self.bare:,.0f}")
        for wave in self.waves if len(self.waves) > 1 else ():
            yield Row(f"  {wave.name}", f"{wave.records:,}", f"{wave.rate:,.0f}")


def require(good: bool, what: str) -> None:
    """Figures of a wrong output would be a lie."""
    if not good:
        raise Fatal(f"no figures, the output is wrong: {what}")


@dataclass
class Bench:
    """What a stage's driver needs. `consumer` belongs to no group; it reads ends and, between waves, records."""

    system: System
    consumer: AIOKafkaConsumer

    @property
    def kafka(self) -> str:
        return self.system.stack.kafka_address

    async def publish(self, messages: Iterable[Message]) -> None:
        async with publisher(self.kafka, "bench") as publishing:
            await publishing.publish(messages)

    async def ends(self, topics: Iterable[str]) -> dict[str, int]:
        """How many records each topic has had."""
        places = [TopicPartition(topic, number) for topic in topics for number in range(self.system.partitions)]
        counts: Counter[str] = Counter()
        for place, end in (await self.consumer.end_offsets(places)).items():
            counts[place.topic] += end
        return dict(counts)

    async def read(self, *topics: str) -> list[Any]:
        """All records of the topics as of now."""
        return [record async for record in self.stream(*topics)]

    async def stream(self, *topics: str) -> AsyncIterator[Any]:
        """As `read`, without keeping them."""
        places = [TopicPartition(topic, number) for topic in topics for number in range(self.system.partitions)]
        self.consumer.assign(places)
        await self.consumer.seek_to_beginning()
        left = {place: end for place, end in (await self.consumer.end_offsets(places)).items() if end}
        while left:
            for place, records in (await self.consumer.getmany(*left, timeout_ms=100)).items():
                for record in records:
                    yield record
                if records[-1].offset + 1 >= left[place]:
                    del left[place]
        self.consumer.assign([])

    async def delete(self, prefix: str) -> None:
        """The topics whose names start so."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(prefix)])
        finally:
            await admin.close()

    async def wave(self, name: str, records: int, service: str, begins: str, until: Mapping[str, int]) -> Wave:
        """Start the service over what waits for it, until its topics hold `until` records; then stop it.

        The clock starts when the service logs `begins`, which says that it has its work, and so leaves out the start
        of the process and, for the mapper, the restoring of its tables. It stops when the broker has the last output.
        """
        await self.settled()
        child = await self.system.start(service, log_format="json", log_level="info")
        try:
            ended = await self.reached(child, until)
            peak = peak_mb(child)
        finally:
            await child.stop()
        found = await self.ends(until)
        require(found == until, f"{name}: the topics must hold {dict(until)}, they hold {found}")
        return Wave(name, records, ended - logged(child, begins), peak)

    async def settled(self) -> None:
        """What one program left to be written to the disk would slow down the next."""
        await asyncio.to_thread(os.sync)

    async def reached(self, child: Child, until: Mapping[str, int]) -> float:
        """Seconds since 1970. Raises Fatal when the child ends, or when nothing moves any more."""
        before, moved = dict[str, int](), time.monotonic()
        while True:
            now = await self.ends(until)
            if all(now[topic] >= count for topic, count in until.items()):
                return time.time()
            if not child.alive:
                raise child.fault("ended")
            if now != before:
                before, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                raise child.fault(f"is stuck at {now} of {dict(until)}")
            await asyncio.sleep(LOOK)

    async def bare(self, topics: Sequence[str]) -> float:
        """Records/s of the bare loop over all records of the topics, which it must publish as they are."""
        source = Counter((record.key, record.value) for record in await self.read(*topics))
        target = f"{self.system.names.prefix}.bare"
        await create_topics(self.kafka, [Topic(target)], partitions=self.system.partitions, replication=1)
        order = Order(self.kafka, list(topics), target, source.total())
        argv = [sys.executable, "-m", "benchmarks.bare", json.dumps(asdict(order))]
        child = Child("bare", argv, self.system.folder / "logs", cwd=Path(__file__).parents[1])
        await child.start()
        if code := await child.wait():
            raise child.fault(f"failed with exit code {code}")
        again = Counter((record.key, record.value) for record in await self.read(target))
        require(
            again == Counter({pair: count * ROUNDS for pair, count in source.items()}),
            "the bare loop lost, doubled or changed records",
        )
        seconds: list[float] = json.loads(child.log_since_start().splitlines()[-1])
        return source.total() / median(seconds)


def logged(child: Child, event: str) -> float:
    """When the child logged the event, in seconds since 1970."""
    if found := _line(child, event):
        return datetime.fromisoformat(found["timestamp"]).timestamp()
    raise child.fault(f"did not log {event!r}, from which it is timed")


async def field_of(child: Child, event: str, *names: str) -> list[Any]:
    """What the child says with the event, once it does."""
    began = time.monotonic()
    while (found := _line(child, event)) is None:
        if not child.alive or time.monotonic() - began > 5 * PATIENCE:
            raise child.fault(f"did not log {event!r}")
        await asyncio.sleep(LOOK)
    return [found[name] for name in names]


def _line(child: Child, event: str) -> dict[str, Any] | None:
    for line in child.log_since_start().splitlines():
        if f'"event": "{event}"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    return None


def peak_mb(child: Child) -> int:
    """0 where the system does not tell."""
    status = Path(f"/proc/{child.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


@asynccontextmanager
async def opened(running: System) -> AsyncIterator[Bench]:
    """The system's topics are deleted at the end, for the broker may be somebody else's."""
    address = running.stack.kafka_address
    consumer = AIOKafkaConsumer(bootstrap_servers=address)
    await consumer.start()
    bench = Bench(running, consumer)
    try:
        yield bench
    finally:
        await consumer.stop()
        await bench.delete(running.names.prefix)
