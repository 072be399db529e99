"""From a configured system to the sink that writes to it."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

from services.writer.sinks import Sink
from services.writer.sinks.postgres import postgres_sink
from services.writer.sinks.salesforce import salesforce_sink
from syncline.config.model import Config, PostgresSystem, SalesforceSystem
from syncline.systems.salesforce import open_salesforce


async def open_sink(config: Config, name: str, stack: AsyncExitStack, rng: random.Random) -> Sink:
    """Open until `stack` ends. Raises Transient, Fatal."""
    system = config.systems[name]
    if isinstance(system, PostgresSystem):
        return await stack.enter_async_context(postgres_sink(system))
    assert isinstance(system, SalesforceSystem), "a stream is no target, as the configuration knows"
    client = await stack.enter_async_context(open_salesforce(system, rng=rng))
    objects = {pipeline.to.name for pipeline in config.pipelines.values() if pipeline.to.system == name}
    return await salesforce_sink(client, sorted(objects))
