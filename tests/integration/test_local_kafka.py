"""The local broker: what was acknowledged survives `kill -9`, at the same address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from syncline.contracts.errors import Fatal
from syncline.local.kafka import kafka
from syncline.local.machine import run_dir


async def create_topic(address: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()


async def produce(address: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        for sent in [await producer.send(topic, value) for value in values]:
            await sent


async def consume(address: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def test_what_was_acknowledged_survives_a_kill_and_a_restart_and_stays_for_the_next_start() -> None:
    values = [b"%d" % number for number in range(1000)]
    with run_dir(name="broker") as data_dir:
        async with kafka(data_dir) as broker:
            await create_topic(broker.address, "changes")
            await produce(broker.address, "changes", values)
            await broker.process.kill()
            await broker.process.restart()
            assert sorted(await consume(broker.address, "changes", 1000)) == sorted(values)
            await produce(broker.address, "changes", [b"after"])
        async with kafka(data_dir) as broker:
            assert sorted(await consume(broker.address, "changes", 1001)) == sorted([*values, b"after"])


async def test_the_reason_of_a_failed_start_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.local.kafka.require_free", lambda port, _: port)  # taken just after the look
    with socket.socket() as holder, run_dir(name="broker") as data_dir:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(Fatal, match=r"(?s)kafka ended with exit code 1 while starting.*Address already in use"):
            async with kafka(data_dir, port=holder.getsockname()[1]):
                pass


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Fatal, match=rf"port {port} of 127\.0\.0\.1, meant for Kafka, is taken"):
            async with kafka(tmp_path, port=port):
                pass


async def test_topics_are_not_made_by_asking_and_tests_share_the_broker(kafka_address: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}changes"
    await create_topic(kafka_address, topic)
    await produce(kafka_address, topic, [b"one"])
    assert await consume(kafka_address, topic, 1) == [b"one"]
    async with AIOKafkaProducer(bootstrap_servers=kafka_address, request_timeout_ms=1000) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for(f"{topic_prefix}unknown")
