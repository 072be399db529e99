"""The order in which batches become safe: outputs, then changelogs, then tables; whoever calls acknowledges last.

Outputs come first so that a table never says more than what was delivered. After a crash at any point the batch is run
again, over tables as they were before it or after it: its outputs repeat, and no effect is missing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError

from services.mapper.engine.hop import Effects, Hop, Input, Reader
from services.mapper.engine.progress import Progress
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.kafka import partition_of, send

log = structlog.get_logger()

Target = tuple[str, int]
"""A topic and one of its partitions."""
Pairs = list[tuple[bytes, bytes | None]]
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


def rounds(fetched: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Batches that may be handled together: one a partition number, for batches of a number share rows."""
    numbers: defaultdict[int, list[Batch]] = defaultdict(list)
    for batch in fetched:
        numbers[batch.partition].append(batch)
    for together in zip_longest(*numbers.values()):
        yield [batch for batch in together if batch is not None]


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
        """Handle batches of different partition numbers. True: all is safe, acknowledge them. False: they are no longer
        ours, and nothing was sent or stored after that was known.

        Raises Fatal for what a hop cannot do and for an output that no topic takes, Transient for a failed delivery.
        """
        effects = [(batch, self._run(batch)) for batch in batches]
        outputs = await self._outputs(effects)
        if not await owned():
            return False
        await self._deliver(outputs)
        if not await owned():
            return False
        changed = {
            (table, batch.partition): changes
            for batch, effect in effects
            for table, changes in effect.changes.items()
            if changes
        }
        offsets = await self._deliver(
            {(self._changelogs[table], number): list(changes.items()) for (table, number), changes in changed.items()}
        )
        # Asked again: while others may write to a changelog, our offset in it says nothing of the rows before it.
        if not await owned():
            return False
        for (table, number), changes in changed.items():
            self._tables.write(table, number, changes, offsets[self._changelogs[table], number])
        for batch, effect in effects:
            self._progress.records[batch.hop.name] += len(batch.inputs)
            self._progress.batches[batch.hop.name] += 1
            self._progress.outputs[batch.hop.name] += len(effect.outputs)
        return True

    def _run(self, batch: Batch) -> Effects:
        try:
            effects = batch.hop.run(batch.inputs, self._tables.reader(batch.partition))
        except Exception as error:
            log.exception("hop failed", hop=batch.hop.name, batch=str(batch))
            raise Fatal(f"{batch}: {type(error).__name__}; nothing of it is acknowledged") from error
        if foreign := effects.changes.keys() - set(batch.hop.tables):
            raise Fatal(f"{batch}: changed {', '.join(sorted(foreign))}, which the hop does not list among its tables")
        return effects

    async def _outputs(self, effects: Iterable[tuple[Batch, Effects]]) -> dict[Target, Pairs]:
        targets: defaultdict[Target, Pairs] = defaultdict(list)
        for batch, effect in effects:
            for output in effect.outputs:
                size = len(output.key) + len(output.value)
                if size > self._record_limit:
                    raise Fatal(f"{batch}: {size} bytes for {output.topic}, where {self._record_limit} are the limit")
                number = output.partition
                if number is None:
                    count = self._counts.get(output.topic) or await self._count(output.topic)
                    number = partition_of(output.key, count)
                targets[output.topic, number].append((output.key, output.value))
        return targets

    async def _count(self, topic: str) -> int:
        try:
            count = len(await self._producer().partitions_for(topic))
        except KafkaError as error:
            raise Transient(f"the partitions of {topic} are unknown: {error!r}") from error
        self._counts[topic] = count
        return count

    async def _deliver(self, targets: Mapping[Target, Pairs]) -> dict[Target, int]:
        """Returns for each target an offset that its last records reach at least: that of its last batch's first."""
        ends = await asyncio.gather(
            *(self._append(target, pairs) for target, pairs in targets.items()), return_exceptions=True
        )
        offsets = {}
        for (topic, number), end in zip(targets, ends, strict=True):
            if isinstance(end, KafkaError):
                raise Transient(f"not delivered to {topic}-{number}: {end!r}; nothing is acknowledged") from end
            if isinstance(end, BaseException):
                raise end
            offsets[topic, number] = end
        return offsets

    async def _append(self, target: Target, pairs: Pairs) -> int:
        topic, number = target
        deliveries = await asyncio.gather(*await send(self._producer(), pairs, topic, number))
        end: int = deliveries[-1].offset
        return end
