"""The topics on a real broker: made once, as configured, and refused where they are not."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Object
from syncline.contracts.topics import MESSAGE_BYTES, Names, Topic, topics
from syncline.runtime.admin import check_topics, create_topics

ACCOUNT, COMPANY = Object("sf", "Account"), Object("hub", "company")


async def configured(address: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        (reply,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    return {entry[0]: entry[1] for entry in reply.resources[0][4]}


async def test_all_are_made_as_configured_and_only_once(kafka_address: str, topic_prefix: str) -> None:
    names = Names(f"{topic_prefix}syncline")
    wanted = topics(names, [ACCOUNT, COMPANY], ["sf", "hub"])
    made = await create_topics(kafka_address, wanted, partitions=3, replication=1)
    assert sorted(made) == sorted(topic.name for topic in wanted)
    assert await create_topics(kafka_address, wanted, partitions=3, replication=1) == []
    await check_topics(kafka_address, wanted, partitions=3)
    changelog = await configured(kafka_address, names.changelog("held"))
    assert changelog["cleanup.policy"] == "compact"
    changes = await configured(kafka_address, names.changes(ACCOUNT))
    assert (changes["cleanup.policy"], changes["max.message.bytes"]) == ("delete", str(MESSAGE_BYTES))


async def test_those_that_are_missing_are_added(kafka_address: str, topic_prefix: str) -> None:
    one, other = Topic(f"{topic_prefix}one"), Topic(f"{topic_prefix}other")
    await create_topics(kafka_address, [one], partitions=2, replication=1)
    assert await create_topics(kafka_address, [one, other], partitions=2, replication=1) == [other.name]


async def test_two_that_create_at_once_both_succeed(kafka_address: str, topic_prefix: str) -> None:
    wanted = [Topic(f"{topic_prefix}{number}") for number in range(5)]
    await asyncio.gather(
        *(create_topics(kafka_address, wanted, partitions=2, replication=1) for _ in range(3)),
    )
    await check_topics(kafka_address, wanted, partitions=2)


async def test_another_partition_count_and_a_missing_topic_are_named(kafka_address: str, topic_prefix: str) -> None:
    few, right, missing = (Topic(f"{topic_prefix}{name}") for name in ("few", "right", "missing"))
    await create_topics(kafka_address, [few], partitions=2, replication=1)
    await create_topics(kafka_address, [right], partitions=4, replication=1)
    with pytest.raises(Fatal) as caught:
        await check_topics(kafka_address, [few, right, missing], partitions=4)
    assert str(caught.value).splitlines() == [
        f"topic {few.name} has 2 partitions where SYNCLINE_PARTITIONS says 4: set that to the topics' count; "
        "to change theirs, stop the services and run `syncline partitions`",
        f"topic {missing.name} is missing: run `syncline topics`",
    ]
    with pytest.raises(Fatal, match=f"topic {few.name} has 2 partitions"):
        await create_topics(kafka_address, [few, right], partitions=4, replication=1)


async def test_too_few_brokers_for_the_replication_are_named(kafka_address: str, topic_prefix: str) -> None:
    topic = Topic(f"{topic_prefix}changes")
    with pytest.raises(Fatal, match=rf"{topic.name} cannot be created: InvalidReplicationFactor.*factor 30"):
        await create_topics(kafka_address, [topic], partitions=1, replication=30)


async def test_a_broker_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as holder:  # bound and not listening: nobody else can take the port meanwhile
        holder.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(Transient, match=f"Kafka at {address} cannot be reached"):
            await create_topics(address, [Topic("a")], partitions=1, replication=1)
        with pytest.raises(Transient, match=f"Kafka at {address} cannot be reached"):
            await check_topics(address, [Topic("a")], partitions=1)
        assert time.monotonic() - began < 5
