"""The yardstick: one consumer and one producer that read records and publish them again, and do nothing else.

A process of its own, as the services are: `python -m benchmarks.bare ORDER`, where ORDER is the JSON of `Order`.
Prints the seconds of each round as a JSON array.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

from syncline.runtime.kafka import BATCH_BYTES, send

ROUNDS = 3
"""One alone lasts a few tenths of a second, in which anything may happen; the median of them is used."""
PASS = 5_000
"""Most records of a pass, as many as the mapper takes."""


@dataclass(frozen=True)
class Order:
    """Every record of `topics` goes once a round to the same partition of `target`."""

    kafka: str
    topics: list[str]
    target: str
    records: int


class Start(ConsumerRebalanceListener):  # type: ignore[misc]
    """The clock starts with the assignment, as it does for the services."""

    at = 0.0

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None: ...

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.at = time.perf_counter()


async def round_(order: Order, group: str) -> float:
    """Seconds from the assignment to the last acknowledgement and commit."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=order.kafka, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=order.kafka, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=BATCH_BYTES
    )
    start, done = Start(), 0
    consumer.subscribe(order.topics, listener=start)
    try:
        await producer.start()
        await consumer.start()
        while done < order.records:
            fetched = await consumer.getmany(timeout_ms=200, max_records=PASS)
            deliveries = [
                delivery
                for tp, records in fetched.items()
                for delivery in await send(
                    producer, [(record.key, record.value) for record in records], order.target, tp.partition
                )
            ]
            await asyncio.gather(*deliveries)
            await consumer.commit()
            done += sum(map(len, fetched.values()))
        return time.perf_counter() - start.at
    finally:
        await consumer.stop()
        await producer.stop()


async def main(order: Order) -> None:
    print(json.dumps([await round_(order, f"{order.target}-{number}") for number in range(ROUNDS)]))


if __name__ == "__main__":
    uvloop.run(main(Order(**json.loads(sys.argv[1]))))
