"""The whole system on the run's broker and server: real services as processes, and the simulated org."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from syncline.local.demo.run import Story, story
from syncline.local.system import system

SESSION_TIMEOUT = {"SYNCLINE_SESSION_TIMEOUT": "6"}
"""The least that the broker allows: so long a killed replica's partitions wait."""

Whole = Callable[..., AbstractAsyncContextManager[Story]]
"""`async with whole(...) as told`: a system without services yet; the arguments are those of `system`."""


@pytest.fixture
async def whole(tmp_path: Path, kafka_address: str, database_url: str, topic_prefix: str) -> Whole:
    @asynccontextmanager
    async def started(**options: Any) -> AsyncIterator[Story]:
        given: dict[str, Any] = {
            "kafka_address": kafka_address,
            "database_url": database_url,
            "prefix": topic_prefix.rstrip("."),
            "environ": SESSION_TIMEOUT,
            **options,
        }
        async with system(tmp_path, **given) as running, story(running) as told:
            yield told

    return started
