"""What the engine's tests share: topics, events, worker processes, and reading back what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.group import LeaveGroupRequest

from syncline.contracts.topics import Topic
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, publisher
from tests.integration.engine_worker import TABLES, event

ROOT = Path(__file__).parents[2]
Version = tuple[str, int]
Tables = dict[str, dict[bytes, bytes]]


@dataclass(slots=True)
class Worker:
    process: asyncio.subprocess.Process
    log: Path

    async def stopped(self, within: float = 30.0) -> None:
        """Wait until it is frozen by SIGSTOP."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        async with asyncio.timeout(within):
            while stat.read_text().rpartition(")")[2].split()[0] != "T":
                await asyncio.sleep(0.02)

    async def ended(self, within: float = 30.0) -> int:
        try:
            return await asyncio.wait_for(self.process.wait(), within)
        except TimeoutError:
            raise AssertionError(f"still there after {within} s: {self.log.read_text()[-4000:]}") from None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def serving(self, times: int = 1, within: float = 30.0) -> None:
        """Wait until it has restored its tables and takes inputs, for the so-manieth time."""
        await self.said("serving", times, within)

    async def said(self, words: str, times: int = 1, within: float = 30.0) -> None:
        """Wait until its log has so many times what matches `words`."""
        async with asyncio.timeout(within):
            while len(re.findall(words, self._said())) < times:
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    def _said(self) -> str:
        return re.sub(r"\x1b\[\d+m", "", self.log.read_text())

    def takeovers(self) -> list[tuple[int, float]]:
        """Of each assignment: changelog records read, and seconds, before inputs were taken."""
        found = re.findall(r"serving .*restored=(\d+) seconds=([\d.]+)", self._said())
        return [(int(records), float(seconds)) for records, seconds in found]

    async def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.ended()


@dataclass(slots=True)
class Bench:
    """One test's topics on the broker, and its workers."""

    kafka: str
    prefix: str
    directory: Path
    partitions: int = 3
    workers: list[Worker] = field(default_factory=list)

    @property
    def app_id(self) -> str:
        return f"{self.prefix}app"

    def topic(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def changelog(self, table: str) -> str:
        return f"{self.app_id}-{table}-changelog"

    async def create_topics(self) -> None:
        compacted = {"cleanup.policy": "compact"}
        large = {"max.message.bytes": str(4 * 1024 * 1024)}
        topics = [Topic(self.topic(name), large) for name in ("events", "more", "routed", "joined")]
        topics += [Topic(self.changelog(table), compacted) for table in TABLES]
        await create_topics(self.kafka, topics, partitions=self.partitions, replication=1)

    async def start(self, *, environ: Mapping[str, str] | None = None, **options: Any) -> Worker:
        """A worker process; `options` are EngineSettings' and engine_worker's. `environ` says how it reaches Kafka."""
        number = len(self.workers)
        log = self.directory / f"worker-{number}.log"
        given = {
            **({} if environ else {"kafka": self.kafka}),
            "prefix": self.prefix,
            "partitions": self.partitions,
            "state_dir": str(self.directory / f"state-{number}"),
            "session_timeout": 6.0,
            "batch_records": 500,
            "commit_interval": 0.2,
            **options,
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-X",
                "faulthandler",
                "-m",
                "tests.integration.engine_worker",
                json.dumps(given),
                cwd=ROOT,
                env={**os.environ, **(environ or {})},
                stdout=output,
                stderr=output,
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    async def kill(self, worker: Worker) -> None:
        """As the kernel would; and tell the group, which would else wait for the session's end."""
        worker.signal(signal.SIGKILL)
        await worker.process.wait()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            [reply] = await admin.describe_consumer_groups([self.app_id])
            for _, _, _, _, _, members in reply.groups:
                for member, client, *_ in members:
                    if client == str(worker.process.pid):
                        leave = LeaveGroupRequest(self.app_id, member)
                        await admin._send_request_to_node(await admin.find_coordinator(self.app_id), leave)
        except GroupCoordinatorNotAvailableError:
            pass  # of a broker that never had a group: it died before it could join
        finally:
            await admin.close()

    async def dividing(self, members: int, within: float = 30.0) -> None:
        """Wait until the group has so many members and waits for some of them to join again."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            async with asyncio.timeout(within):
                while True:
                    [reply] = await admin.describe_consumer_groups([self.app_id])
                    [(_, _, state, _, _, found)] = reply.groups
                    if (state, len(found)) == ("PreparingRebalance", members):
                        return
                    await asyncio.sleep(0.02)
        finally:
            await admin.close()

    async def publish(self, events: Iterable[tuple[str, str, int]], topic: str = "events") -> None:
        async with publisher(self.kafka, "test") as publish:
            await publish.publish(
                [
                    Message(self.topic(topic), record.encode(), event(record, account, version))
                    for record, account, version in events
                ]
            )

    async def read(self, topic: str) -> list[Any]:
        """All records of a topic as of now."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(self.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            records: list[Any] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records.extend(batch)
            return records
        finally:
            await consumer.stop()

    async def joined(self) -> set[Version]:
        return {(one["id"], one["version"]) for one in map(_value, await self.read(self.topic("joined")))}

    async def tables(self) -> Tables:
        """The tables as their changelogs have them, whatever the partition."""
        tables: Tables = {}
        for table in TABLES:
            rows: dict[bytes, bytes] = {}
            for record in await self.read(self.changelog(table)):
                if record.value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = record.value
            tables[table] = rows
        return tables

    async def end(self, *topics: str) -> int:
        """How many records the topics have had."""
        return (await self._offsets(*topics))[0]

    async def committed(self, *topics: str) -> int:
        """How many of them the workers have committed."""
        return (await self._offsets(*topics))[1]

    async def lag(self) -> int:
        end, committed = await self._offsets("events", "more", "routed")
        return end - committed

    async def _offsets(self, *topics: str) -> tuple[int, int]:
        inputs = [TopicPartition(self.topic(name), number) for name in topics for number in range(self.partitions)]
        # Assigned by hand it is no member of the group, but may ask what the group has committed.
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, group_id=self.app_id, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(inputs)
            committed = await asyncio.gather(*map(consumer.committed, inputs))
            ends = await consumer.end_offsets(inputs)
            return sum(ends.values()), sum(offset or 0 for offset in committed)
        finally:
            await consumer.stop()

    async def delete(self, topic: str) -> None:
        """Delete a topic and wait until the broker no longer knows it."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.delete_topics([topic])
            while topic in await admin.list_topics():
                await asyncio.sleep(0.02)
        finally:
            await admin.close()

    async def drained(self, within: float = 60.0) -> None:
        """Wait until all inputs are committed, twice in a row: the first topic feeds the second."""
        calm = 0
        async with asyncio.timeout(within):
            while calm < 2:
                calm = calm + 1 if await self.lag() == 0 else 0
                await asyncio.sleep(0.1)


@asynccontextmanager
async def bench(kafka: str, prefix: str, directory: Path, partitions: int = 3) -> AsyncIterator[Bench]:
    directory.mkdir(parents=True, exist_ok=True)
    made = Bench(kafka, prefix, directory, partitions)
    await made.create_topics()
    try:
        yield made
    finally:
        for worker in made.workers:
            if worker.process.returncode is None:
                worker.signal(signal.SIGKILL)
                await worker.process.wait()


def changes(count: int, seed: int = 0) -> list[tuple[str, str, int]]:
    """`count` versions of accounts and contacts in random order, each record's versions ascending; a tenth accounts.

    Every account appears, so that in the end nothing is held.
    """
    rng = random.Random(seed)
    accounts = [f"A{number}" for number in range(max(1, count // 30))]
    contacts = {f"C{number}": rng.choice(accounts) for number in range(max(1, count // 4))}
    picks = accounts + rng.choices([*accounts, *contacts], k=count - len(accounts))
    rng.shuffle(picks)
    versions: dict[str, int] = {}
    events = []
    for record in picks:
        versions[record] = versions.get(record, 0) + 1
        events.append((record, contacts.get(record, record), versions[record]))
    return events


def expected_joined(events: Sequence[tuple[str, str, int]]) -> set[Version]:
    """Every version of what has its account among the events; the rest is held."""
    accounts = {account for record, account, _ in events if record == account}
    return {(record, version) for record, account, version in events if account in accounts}


def expected_tables(events: Iterable[tuple[str, str, int]]) -> Tables:
    """What an undisturbed run leaves when nothing is held any more."""
    newest = {record.encode(): b"%d" % version for record, _, version in events}
    accounts = {key: value for key, value in newest.items() if key.startswith(b"A")}
    return {"newest": newest, "accounts": accounts, "held": {}}


def _value(record: Any) -> Any:
    return orjson.loads(record.value)
