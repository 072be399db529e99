"""The order in which batches become safe: outputs, then changelogs, then tables; whoever calls acknowledges last.

Outputs come first so that a table never says more than what was delivered. After a crash at any point the batch is run
again, over tables as they were before it or after it: its outputs repeat, and no effect is missing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError

from services.mapper.engine.hop import Effects, Hop, Input, Reader
from services.mapper.engine.progress import Progress
from services.mapper.engine.view import Changes, View
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.kafka import partition_of, send

log = structlog.get_logger()

Target = tuple[str, int]
"""A topic and one of its partitions."""
Pairs = list[tuple[bytes, bytes | None]]
Rows = dict[bytes, bytes | None]
Delivery = tuple[Target, asyncio.Future[Any]]
"""Of one batch of records to one target; its result tells the offset of the first."""
Owned = Callable[[], Awaitable[bool]]
"""Whether the partitions of the batches in hand are still ours to write."""


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
        return f"hop {self.hop.name}, {first.topic}-{self.partition}, offsets {first.offset} to {last.offset}"


class Processor:
    """Runs hops and makes their effects safe.

    `changelogs`: table -> its changelog topic. `producer` is an AIOKafkaProducer that waits for all replicas.
    """

    def __init__(
        self,
        producer: Callable[[], Any],
        tables: Tables,
        changelogs: Mapping[str, str],
        progress: Progress,
        *,
        record_limit: int,
    ) -> None:
        self._producer = producer
        self._tables = tables
        self._changelogs = changelogs
        self._progress = progress
        self._record_limit = record_limit
        self._counts: dict[str, int] = {}

    async def handle(self, batches: Sequence[Batch], owned: Owned) -> bool:
        """Handle batches; those of one partition number in their order, for they share rows. True: all is safe,
        acknowledge them. False: they are no longer ours, and nothing was sent or stored after that was known.

        Raises Fatal for what a hop cannot do and for an output that no topic takes, Transient for a failed delivery.
        """
        numbers: defaultdict[int, list[Batch]] = defaultdict(list)
        for batch in batches:
            numbers[batch.partition].append(batch)
        changed: dict[tuple[str, int], Rows] = {}
        sizes: list[int] = []
        under_way: list[Delivery] = []
        for number, together in numbers.items():
            effects, changes = self._run(together, number)
            targets = await self._targets(together, effects)
            if not await owned():
                self._let_go(under_way)
                return False
            under_way += await self._send(targets)
            await asyncio.sleep(0)  # the broker takes these while the next partition's batches are computed
            sizes += [len(effect.outputs) for effect in effects]
            changed |= {(table, number): rows for table, rows in changes.items() if rows}
        await self._acknowledged(under_way)
        if not await owned():
            return False
        logs = {(self._changelogs[table], number): list(rows.items()) for (table, number), rows in changed.items()}
        offsets = await self._acknowledged(await self._send(logs))
        # Asked again: while others may write to a changelog, our offset in it says nothing of the rows before it.
        if not await owned():
            return False
        for (table, number), rows in changed.items():
            self._tables.write(table, number, rows, offsets[self._changelogs[table], number])
        handled = (batch for together in numbers.values() for batch in together)
        for batch, outputs in zip(handled, sizes, strict=True):
            self._progress.records[batch.hop.name] += len(batch.inputs)
            self._progress.batches[batch.hop.name] += 1
            self._progress.outputs[batch.hop.name] += outputs
        return True

    def _run(self, batches: Iterable[Batch], number: int) -> tuple[list[Effects], Changes]:
        """The effects of each, and what they change together: each sees what those before it have changed."""
        reader = self._tables.reader(number)
        view, effects = View(reader), []
        for batch in batches:
            effect = self._effects(batch, view if view.changes else reader)
            view.update(effect.changes)
            effects.append(effect)
        return effects, view.changes

    def _effects(self, batch: Batch, stored: Reader) -> Effects:
        try:
            effects = batch.hop.run(batch.inputs, stored)
        except Exception as error:
            log.exception("hop failed", hop=batch.hop.name, batch=str(batch))
            raise Fatal(f"{batch}: {type(error).__name__}; nothing of it is acknowledged") from error
        if foreign := effects.changes.keys() - set(batch.hop.tables):
            raise Fatal(f"{batch}: changed {', '.join(sorted(foreign))}, which the hop does not list among its tables")
        return effects

    async def _targets(self, batches: Iterable[Batch], effects: Iterable[Effects]) -> dict[Target, Pairs]:
        targets: defaultdict[Target, Pairs] = defaultdict(list)
        for batch, effect in zip(batches, effects, strict=True):
            for topic, key, value, number in effect.outputs:
                if len(key) + len(value) > self._record_limit:
                    size, limit = len(key) + len(value), self._record_limit
                    raise Fatal(f"{batch}: {size} bytes for {topic}, where {limit} are the limit")
                if number is None:
                    number = partition_of(key, self._counts.get(topic) or await self._count(topic))
                targets[topic, number].append((key, value))
        return targets

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

    def _let_go(self, deliveries: Iterable[Delivery]) -> None:
        """Whatever becomes of them, the batch comes again."""
        for _, delivery in deliveries:
            delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
