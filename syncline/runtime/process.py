"""How every service starts and ends: logs, signals, health, and one exit code a kind of error."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from syncline.contracts.errors import Fatal, SynclineError
from syncline.runtime import logs
from syncline.runtime.waiting import Stopped

log = structlog.get_logger()

FATAL = 2
"""Exit code when restarting cannot help: configuration, permission, a missing migration."""
FAILED = 1
"""Exit code when a supervisor should start the process again."""

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


def run(main: Main, *, service: str, instance: str, level: str, format: str) -> int:  # noqa: A002
    """Run `main(stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the exit code."""
    logs.configure(service=service, instance=instance, level=level, format=format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_stopped(main))
    except Stopped as error:
        log.info("stopped while it waited", why=str(error))
        return 0
    except Fatal as error:
        log.critical("stopped", why=str(error))
        return FATAL
    except SynclineError as error:
        log.error("failed", why=str(error))
        return FAILED
    except Exception:
        log.exception("failed")
        return FAILED
    return 0


async def _until_stopped(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    await main(stop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
