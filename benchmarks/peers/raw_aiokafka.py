"""With aiokafka and dicts: what Python and the client allow, without state that outlives the process."""

from __future__ import annotations

import sys

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.waiting import filled, result, serving, waits_for


async def main(kafka: str, topic: str, output: str, state_dir: str) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=f"{output}-group",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5, max_batch_size=256 * 1024, acks="all")
    synced: dict[bytes, str] = {}
    held: dict[bytes, list[tuple[str, bytes]]] = {}
    begun = False
    await producer.start()
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=5000)
        if fetched and not begun:
            begun = True
            serving()
        for records in fetched.values():
            for record in records:
                key, value = record.key, record.value
                if (known := result(value)) is not None:
                    synced[key] = known[1]
                    for field, command in held.pop(key, ()):
                        await producer.send(output, filled(command, field, known[1]), key=key)
                    continue
                on, field, command = waits_for(value)
                if on is None:
                    await producer.send(output, command, key=key)
                elif key in synced:
                    await producer.send(output, filled(command, field, synced[key]), key=key)
                else:
                    held.setdefault(key, []).append((field, command))
        await producer.flush()
        if fetched:
            await consumer.commit()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
