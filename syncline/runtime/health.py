"""One small HTTP endpoint a process: /metrics for Prometheus, /live and /ready for Kubernetes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from syncline.contracts.errors import Fatal

log = structlog.get_logger()


@dataclass
class Health:
    """ready: takes part in the work; idle: but got no share of it, for there are more replicas than shares. live:
    `beat` was called within `patience` seconds; a loop beats each round."""

    clock: Callable[[], float] = time.monotonic
    patience: float = 120.0
    ready: bool = False
    idle: bool = False
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def beat(self) -> None:
        self._last = self.clock()

    def set_ready(self, ready: bool) -> None:
        self.ready = ready

    def set_idle(self, idle: bool) -> None:
        self.idle = idle

    @property
    def live(self) -> bool:
        return self.clock() - self._last < self.patience


@asynccontextmanager
async def serve(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Yields the port. Raises Fatal when it is taken."""

    def answer(good: bool, word: str) -> web.Response:
        return web.Response(status=200 if good else 503, text=word if good else f"not {word}")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(health.registry), content_type="text/plain")

    async def live(_: web.Request) -> web.Response:
        return answer(health.live, "live")

    async def ready(_: web.Request) -> web.Response:
        return answer(health.ready, "ready, idle" if health.ready and health.idle else "ready")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/live", live), web.get("/ready", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise Fatal(f"cannot listen on {host}:{port}: {error.strerror}; set SYNCLINE_METRICS_PORT") from error
        bound: int = runner.addresses[0][1]
        log.info("health endpoint", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()
