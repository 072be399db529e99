"""Leaving a consumer group at once; for aiokafka 0.14, whose insides it leans on.

aiokafka's own `stop` leaves too, but while the group is being divided it first waits until that is over: for a member
that is busy as long as it may be, for one that froze as long as its session lasts. And it would be no use to tell the
group meanwhile on the connection on which its answer is waited for: a broker answers one thing after the other.
"""

from __future__ import annotations

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

log = structlog.get_logger()

TOLD = 3.0
"""Seconds for the group to be told. It would learn by itself, by the end of the session."""


async def stop_member(consumer: AIOKafkaConsumer) -> None:
    """Leave and stop. Nothing is committed any more."""
    await leave(consumer)
    await consumer.stop()


async def leave(consumer: AIOKafkaConsumer) -> None:
    """For a consumer that is about to stop, and fetches nothing any more."""
    coordinator = consumer._coordinator
    if not isinstance(coordinator, GroupCoordinator):
        return  # it did not start, or has no group
    coordinator._coordination_task.cancel()
    await asyncio.wait({coordinator._coordination_task})
    if coordinator.member_id and coordinator.coordinator_id is not None:
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        try:
            async with asyncio.timeout(TOLD):
                await _tell(consumer._client, coordinator.coordinator_id, request)
        except (KafkaError, TimeoutError) as error:
            log.warning("the group was not told, and waits until the session ends", why=repr(error))
    coordinator.reset_generation()  # else `stop` would tell it again


async def _tell(client: AIOKafkaClient, node: int, request: LeaveGroupRequest) -> None:
    try:
        await client.send(node, request)
    except KafkaConnectionError:
        await client.send(node, request)  # the broker had closed a connection that was long in no use
