"""From the configuration to the sources: a pool or a client for each system, a source for each object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from services.poller.metrics import Metrics
from services.poller.sources import Source
from services.poller.sources.postgres import Notifications, PostgresSource, open_pool
from services.poller.sources.salesforce import Pace, SalesforceSource
from syncline.config.model import Config, PostgresSystem, SalesforceSystem
from syncline.contracts.ref import Object
from syncline.hub.capture import check_installed
from syncline.runtime.waiting import patiently, until
from syncline.systems.salesforce import open_salesforce

CALL_BUDGET = 30.0
"""Seconds that one call to Salesforce is repeated before its object's own loop waits and says so."""


class Opening:
    """Opens systems without waiting for them: one that is down delays only its own objects.

    beside: what must run next to the reading. It checks each system as soon as it answers; a wrong configuration is
    Fatal for the process, since it is better told at start than by an object that pauses.
    """

    def __init__(
        self, config: Config, stack: AsyncExitStack, metrics: Metrics, stop: asyncio.Event, rng: random.Random
    ) -> None:
        self._config = config
        self._stack = stack
        self._metrics = metrics
        self._stop = stop
        self._rng = rng
        self.sources: dict[Object, Source] = {}
        self.beside: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def open(self, name: str) -> None:
        system = self._config.systems[name]
        kinds = [kind for kind in self._config.polled if kind.system == name]
        if isinstance(system, PostgresSystem):
            await self._open_postgres(name, system, kinds)
        elif isinstance(system, SalesforceSystem):
            await self._open_salesforce(name, system, kinds)

    async def _open_postgres(self, name: str, system: PostgresSystem, kinds: list[Object]) -> None:
        pool = await self._stack.enter_async_context(open_pool(system.url, size=len(kinds) + 2))
        notifications = Notifications(pool, [kind.name for kind in kinds])
        for kind in kinds:
            self.sources[kind] = PostgresSource(
                kind,
                pool,
                system.objects[kind.name],
                self._config.reads(kind),
                instance=system.instance,
                interval=system.poll_interval,
                touched=notifications.touched[kind.name],
            )
        captured = {kind.name: system.objects[kind.name] for kind in kinds}
        self.beside += [
            lambda: notifications.listen(self._stop, self._rng),
            lambda: self._check(name, lambda: check_installed(pool, captured)),
        ]

    async def _open_salesforce(self, name: str, system: SalesforceSystem, kinds: list[Object]) -> None:
        calls, pace = self._metrics.calls, Pace()
        client = await self._stack.enter_async_context(
            open_salesforce(
                system,
                rng=self._rng,
                budget=CALL_BUDGET,
                on_call=lambda kind, status, _: calls.labels(name, kind, status).inc(),
            )
        )
        self._metrics.quota.labels(name).set_function(lambda: client.usage.share if client.usage else 0.0)
        for kind in kinds:
            self.sources[kind] = SalesforceSource(
                kind,
                client,
                pace,
                instance=system.instance,
                fields=self._config.reads(kind),
                days=system.poll_days(kind.name),
                lag=system.poll.lag,
                overlap=system.poll.overlap,
                interval=system.poll.interval,
            )
        self.beside.append(lambda: self._check(name, client.connect))

    async def _check(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        await until(self._stop, patiently(check, name, stop=self._stop, rng=self._rng))
