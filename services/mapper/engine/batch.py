"""The order in which batches become safe: outputs, then changelogs, then tables; whoever calls acknowledges last.

Outputs come first so that a table never says more than what was delivered. After a crash at any point the batch is run
again, over tables as they were before it or after it: its outputs repeat, and no effect is missing.

What one hop says to a later one alone is handed over within the pass when the partition that it goes to is here: it
spares the broker and us the way there and back. Then the changelogs of the later hop are what was delivered, and come
first.

A pass begins while the one before it waits for the broker: it sees the rows of that one, but nothing of it is stored
before that one is safe. Should that one fail, both are run again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError

from services.mapper.engine.hop import Effects, Hop, Input, Output, Reader
from services.mapper.engine.progress import Progress
from services.mapper.engine.view import View
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.kafka import partition_of, send

log = structlog.get_logger()

Target = tuple[str, int]
"""A topic and one of its partitions."""
Pairs = list[tuple[bytes, Any]]
"""Keys and values: bytes, None for a tombstone, or what is Said to a later hop."""
Rows = dict[bytes, bytes | None]
Delivery = tuple[Target, asyncio.Future[Any]]
"""Of one batch of records to one target; its result tells the offset of the first."""
Owned = Callable[[], Awaitable[bool]]
"""Whether the partitions of the batches in hand are still ours to write."""


ROUNDS = 4
"""Of the event loop, between two batches: from the broker's answer to the producer's next request it takes some."""
HANDED = -1
"""The offset of a record that never was on its topic."""


class Tables(Protocol):
    """The tables' partitions that this process holds."""

    def reader(self, partition: int) -> Reader: ...

    def write(self, table: str, partition: int, changes: Mapping[bytes, bytes | None], offset: int) -> None:
        """Store in one atomic step; the changelog holds `changes`, in part beyond `offset`, and all before it."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    hop: Hop
    partition: int
    inputs: Sequence[Input]

    def __str__(self) -> str:
        first, last = self.inputs[0], self.inputs[-1]
        if first.offset == HANDED:
            return f"hop {self.hop.name}, {len(self.inputs)} records for {first.topic}-{self.partition}"
        return f"hop {self.hop.name}, {first.topic}-{self.partition}, offsets {first.offset} to {last.offset}"


Waiting = dict[str, defaultdict[int, list[Batch]]]
"""Hop to partition number to what it is to handle."""


@dataclass(slots=True, eq=False)
class Pass:
    """What was computed, and is under way to the broker. The counts are by hop, as Progress has them."""

    deliveries: list[Delivery] = field(default_factory=list)
    changed: dict[tuple[str, int], Rows] = field(default_factory=dict)
    """Table and partition number to what is to be stored there."""
    records: Counter[str] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)


class Processor:
    """Runs hops, in the order in which they are declared, and makes their effects safe.

    `changelogs`: table -> its changelog topic. `producer` is an AIOKafkaProducer that waits for all replicas.
    """

    def __init__(
        self,
        producer: Callable[[], Any],
        tables: Tables,
        changelogs: Mapping[str, str],
        progress: Progress,
        hops: Sequence[Hop],
        *,
        record_limit: int,
    ) -> None:
        self._hops = hops
        self._readers = {topic: hop for hop in hops for topic in hop.private}
        self._producer = producer
        self._tables = tables
        self._changelogs = changelogs
        self._progress = progress
        self._record_limit = record_limit
        self._counts: dict[str, int] = {}
        self._begun = deque[Pass]()

    async def begin(self, batches: Sequence[Batch], owned: Owned) -> Pass | None:
        """Compute batches, those of one partition number in their order, for they share rows, and hand their outputs
        to the producer. None: they are no longer ours, and nothing more was sent after that was known.

        Passes are begun one at a time, over the rows of those that are begun and not finished.
        Raises Fatal for what a hop cannot do and for an output that no topic takes, Transient for a failed delivery.
        """
        waiting: Waiting = {hop.name: defaultdict(list) for hop in self._hops}
        for batch in batches:
            waiting[batch.hop.name][batch.partition].append(batch)
        here, begun = self._progress.assigned, Pass()
        self._begun.append(begun)
        for hop in self._hops:
            for number, together in waiting.pop(hop.name).items():
                stored, targets = self._reader(number, begun), defaultdict[Target, Pairs](list)
                view = View(stored)
                for batch in together:
                    effects = self._effects(batch, view if view.changes else stored)
                    view.update(effects.changes)
                    await self._sort(effects.outputs, targets)
                    begun.outputs[hop.name] += len(effects.outputs)
                    await _breathe()
                self._hand_over(targets, here, waiting)
                self._encode(together, targets)
                if begun not in self._begun or not await owned():
                    # What is under way must not land behind what comes of the same records when they are read again.
                    await asyncio.gather(*(delivery for _, delivery in begun.deliveries), return_exceptions=True)
                    if begun in self._begun:
                        self._begun.remove(begun)
                    return None
                begun.deliveries += await self._send(targets)
                begun.records[hop.name] += sum(len(batch.inputs) for batch in together)
                begun.batches[hop.name] += len(together)
                begun.changed |= {(table, number): rows for table, rows in view.changes.items() if rows}
        return begun

    async def finish(self, begun: Pass, owned: Owned) -> bool:
        """Make safe what was begun; passes in their order, one at a time. True: acknowledge it. False: it is no longer
        ours, or what was begun before it was not, and nothing was sent or stored after that was known.

        Raises Transient for a failed delivery.
        """
        safe = False
        try:
            await self._acknowledged(begun.deliveries)
            safe = begun in self._begun and await self._stored(begun, owned)
        finally:
            if safe:
                self._begun.popleft()
            else:
                self._begun.clear()  # later ones see rows that never were stored
        if safe:
            self._progress.records.update(begun.records)
            self._progress.batches.update(begun.batches)
            self._progress.outputs.update(begun.outputs)
        return safe

    def _reader(self, number: int, begun: Pass) -> Reader:
        """The rows of a partition as they will be once all that was begun before is safe."""
        reader: Reader = self._tables.reader(number)
        for earlier in self._begun:
            changes = {table: rows for (table, place), rows in earlier.changed.items() if place == number}
            if changes and earlier is not begun:
                reader = View(reader, changes)
        return reader

    def _hand_over(self, targets: dict[Target, Pairs], here: Collection[Target], waiting: Waiting) -> None:
        """Take out of `targets` what a hop that is still to come reads here."""
        now = int(time.time() * 1000)
        for place in [*targets]:
            topic, number = place
            hop = self._readers.get(topic)
            if hop and hop.name in waiting and place in here:
                inputs = [Input(topic, number, HANDED, key, value, now) for key, value in targets.pop(place)]
                waiting[hop.name][number].append(Batch(hop, number, inputs))

    def _encode(self, batches: Iterable[Batch], targets: dict[Target, Pairs]) -> None:
        """What no later hop takes here goes over the broker. Raises Fatal for what no topic takes."""
        for (topic, _), pairs in targets.items():
            if topic in self._readers:
                pairs[:] = [(key, value if type(value) is bytes else value.encode()) for key, value in pairs]
            if (size := max(len(key) + len(value) for key, value in pairs)) > self._record_limit:
                told = ", ".join(map(str, batches))
                raise Fatal(f"{told}: {size} bytes for {topic}, where {self._record_limit} are the limit")

    async def _stored(self, begun: Pass, owned: Owned) -> bool:
        """The changelogs, then the tables, the later hops' first. False: they are no longer ours."""
        for hop in reversed(self._hops):
            changed = {place: rows for place, rows in begun.changed.items() if place[0] in hop.tables}
            if not changed:
                continue
            if not await owned():
                return False
            logs = {(self._changelogs[table], number): list(rows.items()) for (table, number), rows in changed.items()}
            offsets = await self._acknowledged(await self._send(logs))
            # Asked again: while others may write to a changelog, our offset in it says nothing of the rows before it.
            if not await owned():
                return False
            for (table, number), rows in changed.items():
                self._tables.write(table, number, rows, offsets[self._changelogs[table], number])
        return True

    def _effects(self, batch: Batch, stored: Reader) -> Effects:
        try:
            effects = batch.hop.run(batch.inputs, stored)
        except Exception as error:
            log.exception("hop failed", hop=batch.hop.name, batch=str(batch))
            raise Fatal(f"{batch}: {type(error).__name__}; nothing of it is acknowledged") from error
        if foreign := effects.changes.keys() - set(batch.hop.tables):
            raise Fatal(f"{batch}: changed {', '.join(sorted(foreign))}, which the hop does not list among its tables")
        return effects

    async def _sort(self, outputs: Sequence[Output], targets: defaultdict[Target, Pairs]) -> None:
        """Each to the list of its target."""
        for each in outputs:
            topic, number = each.topic, each.partition
            if number is None:
                number = partition_of(each.key, self._counts.get(topic) or await self._count(topic))
            targets[topic, number].append((each.key, each.value))

    async def _count(self, topic: str) -> int:
        try:
            count = len(await self._producer().partitions_for(topic))
        except KafkaError as error:
            raise Transient(f"the partitions of {topic} are unknown: {error!r}") from error
        self._counts[topic] = count
        return count

    async def _send(self, targets: Mapping[Target, Pairs]) -> list[Delivery]:
        """Raises Transient."""
        try:
            return [
                (target, delivery)
                for target, pairs in targets.items()
                for delivery in await send(self._producer(), pairs, *target)
            ]
        except KafkaError as error:
            raise Transient(
                f"nothing more is taken for {', '.join({topic for topic, _ in targets})}: {error!r}"
            ) from error

    async def _acknowledged(self, deliveries: Sequence[Delivery]) -> dict[Target, int]:
        """Returns for each target an offset that its last records reach at least: that of its last batch's first.

        Raises Transient.
        """
        ends = await asyncio.gather(*(delivery for _, delivery in deliveries), return_exceptions=True)
        offsets = {}
        for ((topic, number), _), end in zip(deliveries, ends, strict=True):
            if isinstance(end, KafkaError):
                raise Transient(f"not delivered to {topic}-{number}: {end!r}; nothing is acknowledged") from end
            if isinstance(end, BaseException):
                raise end
            offsets[topic, number] = end.offset
        return offsets


async def _breathe() -> None:
    """Let the producer hear what the broker has answered, and the last pass go on."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
