"""The thread in which aiokafka's consumer lives, past what Faust does there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.mapper.engine.faust_tables import Records
from services.mapper.engine.hop import Input
from syncline.runtime.clients import secure
from syncline.runtime.leaving import leave

log = structlog.get_logger()

POLL = 0.2
"""Seconds that one fetch waits for records, and so at most what it adds to a rebalance."""


def as_input(_: bytes) -> Any:
    """In the place of a consumer's deserializer of keys it says that records are to become Inputs; never called."""
    raise AssertionError("Inputs hold their keys as they came")


class Fetched(fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched. aiokafka's own records cost four times as much as Inputs to make, and to drop."""

    def __iter__(self) -> Any:
        return self._records_iterator

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Any:
        if self._key_deserializer is not as_input:
            return super()._consumer_record(tp, record)
        return Input(
            tp.topic, tp.partition, record.offset, record.key, record.value, record.timestamp, tuple(record.headers)
        )


fetcher.PartitionRecords = Fetched  # what aiokafka's fetcher makes; it has no other way to say so


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Where aiokafka's consumer lives: heartbeats go on while the main thread computes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._close_thread_loop_on_stop = True  # mode leaves open what it did not make

    async def on_thread_stop(self) -> None:
        # By itself it would wait for the group, should that be about to divide its partitions.
        if self._method_queue is not None:
            await self._method_queue.stop()
        if self._consumer is not None:
            await leave(self._consumer)
        await super().on_thread_stop()

    def close(self) -> None:
        """Not so: when the group is divided while the app stops, Faust closes aiokafka's client here, from the other
        thread's loop. It cannot tell the group then that it leaves, and the others wait for its session's end."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        secure(consumer._client, transport.settings.kafka)
        consumer._key_deserializer = as_input
        # Faust's 1.5 s is no setting of its. A fetch that waits for records holds back the fetch after a rewind.
        consumer._fetch_max_wait_ms = int(POLL * 1000)
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: frozenset[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Records:
        # Faust's own asks aiokafka's fetcher directly and so never learns that the group's coordination has died.
        wanted = {TopicPartition(*tp) for tp in active_partitions}
        consumer.resume(*(consumer.paused() & wanted))
        fetched = await consumer.getmany(*wanted, timeout_ms=int((timeout or 0) * 1000), max_records=max_records)
        return {TP(*tp): records for tp, records in fetched.items()}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Nothing is fetched until it is asked for. Before it is known where to read on, what comes is for nothing, and
        # a fetch that waits for records holds back whatever else its broker is asked, such as where a changelog ends.
        self._ensure_consumer().pause(*(TopicPartition(*tp) for tp in assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    async def follow(self, changelogs: Iterable[TP]) -> Records:
        """What has come of them, without waiting for more."""
        consumer: AIOKafkaConsumer = self._ensure_consumer()
        records: Records = await self.call_thread(
            self._fetch_records, consumer, frozenset(changelogs), timeout=0, max_records=consumer._max_poll_records
        )
        return records

    async def divide(self) -> None:
        """Have the group divide its partitions again."""

        async def rejoin() -> None:
            self._ensure_consumer()._coordinator.request_rejoin()

        await self.call_thread(rejoin)

    async def rewind(self, inputs: Iterable[TP], changelogs: Iterable[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """Bring `inputs` to what is committed, or to the earliest record; returns their positions and their ends.

        These changelogs are not fetched any more: aiokafka would keep our own writes in memory, unread.
        """
        places: tuple[dict[TP, int], dict[TP, int]] = await self.call_thread(
            self._rewind, [TopicPartition(*tp) for tp in inputs], [TopicPartition(*tp) for tp in changelogs]
        )
        return places

    async def _rewind(
        self, partitions: list[TopicPartition], changelogs: list[TopicPartition]
    ) -> tuple[dict[TP, int], dict[TP, int]]:
        consumer: AIOKafkaConsumer = self._ensure_consumer()
        consumer.pause(*changelogs)
        committed = await asyncio.gather(*map(consumer.committed, partitions))
        if fresh := [tp for tp, offset in zip(partitions, committed, strict=True) if offset is None]:
            await consumer.seek_to_beginning(*fresh)
        for tp, offset in zip(partitions, committed, strict=True):
            if offset is not None:
                consumer.seek(tp, offset)
        positions = {TP(*tp): await consumer.position(tp) for tp in partitions}
        return positions, {TP(*tp): end for tp, end in (await consumer.end_offsets(partitions)).items()}

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """False: the group has moved on and the partitions may be another's. Raises KafkaError for anything else."""
        try:
            await self.call_thread(
                self._ensure_consumer().commit, {TopicPartition(*tp): offset for tp, offset in offsets.items()}
            )
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("not committed, will be read again", why=str(error))
            return False
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            log.warning("not committed, will be read again", why="the consumer is closed")
            return False
        return True

    def generation(self) -> int:
        """The group generation that this member belongs to; -1 once the group has thrown it out."""
        return int(self._ensure_consumer()._coordinator.generation)
