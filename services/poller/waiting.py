"""Waiting for one of two things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def until(stop: asyncio.Event, waiting: Awaitable[object]) -> None:
    """Wait, but no longer than until `stop` is set. What `waiting` raises is raised."""
    tasks = {asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
