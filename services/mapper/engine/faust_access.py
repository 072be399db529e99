"""How Faust's own clients reach Kafka: as all of ours do, and not by its settings, which are read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver

from services.mapper.engine.settings import EngineSettings
from syncline.runtime.clients import secure
from syncline.runtime.security import reach


def brokers(settings: EngineSettings) -> list[str]:
    return [f"kafka://{server}" for server in reach(settings.kafka).servers.split(",")]


class Producer(driver.Producer):  # type: ignore[misc]
    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}  # Faust has no setting for it outside of transactions

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        made = super()._new_producer(transactional_id)
        secure(made.client, self.transport.settings.kafka)
        return made
