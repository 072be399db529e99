"""Creating the topics, and refusing to run on wrong ones."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.topics import Topic


async def create_topics(address: str, topics: Sequence[Topic], *, partitions: int, replication: int) -> list[str]:
    """Create those that are missing and return their names. Raises Fatal when a present one does not fit."""
    admin = await _admin(address)
    try:
        present = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in present]
        if missing:
            reply = await admin.create_topics(
                [NewTopic(topic.name, partitions, replication, topic_configs=topic.config) for topic in missing]
            )
            for name, code, *_ in reply.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise Fatal(f"topic {name} cannot be created: {error.__name__} (replication factor {replication})")
    except KafkaError as error:
        raise Transient(f"Kafka at {address} did not answer: {error}") from error
    finally:
        await admin.close()
    await check_topics(address, topics, partitions=partitions)
    return [topic.name for topic in missing]


async def check_topics(address: str, topics: Sequence[Topic], *, partitions: int) -> None:
    """Raises Fatal naming every topic that is missing or has another partition count than configured."""
    admin = await _admin(address)
    try:
        described = await admin.describe_topics([topic.name for topic in topics])
    except KafkaError as error:
        raise Transient(f"Kafka at {address} did not answer: {error}") from error
    finally:
        await admin.close()
    found = {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}
    faults = [
        f"topic {topic.name} is missing: run `syncline topics`"
        if topic.name not in found
        else f"topic {topic.name} has {found[topic.name]} partitions where SYNCLINE_PARTITIONS says {partitions}: "
        "set that to the topics' count, or recreate the topics"
        for topic in topics
        if found.get(topic.name) != partitions
    ]
    if faults:
        raise Fatal("\n".join(faults))


async def _admin(address: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=20_000)
    try:
        await admin.start()
    except KafkaError as error:
        await admin.close()
        raise Transient(f"Kafka at {address} cannot be reached: {error}") from error
    return admin
