"""Waiting for what is not there yet, and saying so; and for several works at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from syncline.contracts.errors import Transient
from syncline.runtime.backoff import delays

log = structlog.get_logger()

T = TypeVar("T")


class Stopped(Transient):
    """Told to stop while it waited: what it waited for would have come first, so nothing is left undone."""


async def patiently(
    action: Callable[[], Awaitable[T]],
    what: str,
    *,
    stop: asyncio.Event,
    rng: random.Random,
    beat: Callable[[], None] = lambda: None,
) -> T:
    """Repeat `action` until it no longer raises Transient; each failure is logged with `what` is waited for.

    beat: called at each failure. Who waits is alive: to be started again would only make it wait longer.
    Raises Stopped when `stop` is set, and every error but Transient at once.
    """
    waits = delays(rng, first=0.5)
    while True:
        try:
            return await action()
        except Transient as error:
            if stop.is_set():
                raise Stopped(str(error)) from error
            seconds = max(next(waits), error.retry_after or 0)
            beat()
            log.warning(f"waiting for {what}", why=str(error), seconds=round(seconds, 1))
            await pause(seconds, stop)


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until they return; the first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def until(stop: asyncio.Event, waiting: Awaitable[object]) -> None:
    """Wait, but no longer than until `stop` is set: then it is cancelled, and that is waited for. Raises what `waiting`
    raises."""
    tasks = {asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but not longer than until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
