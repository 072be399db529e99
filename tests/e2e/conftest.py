"""The whole system on the run's broker and server: real services as processes, and the simulated org."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
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


async def syncline(told: Story, *words: str, **environ: str) -> tuple[int, str, str]:
    """`environ` besides the system's own."""
    program = "from syncline.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        *words,
        env={**os.environ, **told.system.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def stories(told: Story, refs: Iterable[str]) -> str:
    """What a failed test shows: all that happened to these records."""
    return "\n".join([(await syncline(told, "explain", ref, "--json"))[1] for ref in refs])
