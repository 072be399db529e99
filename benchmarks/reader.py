"""Reads a topic, drops what it read and prints the seconds that took: the bare loop that a recovery is measured by.

`python -m benchmarks.reader KAFKA TOPIC PARTITIONS RECORDS`
"""

from __future__ import annotations

import sys
import time

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition


async def main(kafka: str, topic: str, partitions: str, records: str) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(int(partitions))])
        left, begun = int(records), time.perf_counter()
        while left > 0:
            fetched = await consumer.getmany(timeout_ms=200, max_records=10_000)
            left -= sum(map(len, fetched.values()))
        print(time.perf_counter() - begun)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
