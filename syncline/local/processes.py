"""Named child processes with a log file each: start and wait until ready, stop, kill, restart, watch for death."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from syncline.contracts.errors import Fatal
from syncline.local.guard import Account, Guarded

POLL_INTERVAL = 0.05  # seconds between two looks at a child that is starting
_TAIL_BYTES = 16_384

Ready = Callable[["Child"], Awaitable[bool]]
"""Asked again and again while a child starts; true when it can be used."""


def line(text: str) -> Ready:
    """Ready when the child has logged a line that holds `text` since its last start."""

    async def logged(child: Child) -> bool:
        return text in child.log_since_start()

    return logged


def url(address: str) -> Ready:
    """Ready when a GET of `address` answers 200."""

    async def answers(_: Child) -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as response:
                return response.status == 200
        return False

    return answers


@dataclass
class Child:
    """A process that this one started and that ends with it; `restart` gives it a new pid, the rest stays."""

    name: str
    argv: Sequence[str]
    log_dir: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # added to ours; may hold secrets
    cwd: Path = field(default_factory=Path.cwd)
    account: Account | None = None
    ready: Ready | None = None
    ready_timeout: float = 60.0  # seconds
    stop_signal: signal.Signals = signal.SIGTERM
    _running: Guarded | None = field(default=None, init=False, repr=False)
    _exit: asyncio.Future[int] | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)  # bytes of earlier starts

    @property
    def log_path(self) -> Path:
        return self.log_dir / f"{self.name}.log"

    @property
    def pid(self) -> int:
        return self._started()[0].pid

    @property
    def alive(self) -> bool:
        return self._exit is not None and not self._exit.done()

    async def start(self) -> None:
        """Start it and wait until it is ready; Fatal with its log's last lines when it ends or hangs before that."""
        if self.alive:
            raise Fatal(f"{self.name} runs already (pid {self.pid}): stop it first")
        self._launch(asyncio.get_running_loop())
        try:
            await self._until_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self, grace: float = 10.0) -> int:
        """Ask it to end; kill it when it has not after `grace` seconds. Returns the exit code (-9: killed)."""
        running, end = self._started()
        running.signal(self.stop_signal)
        await asyncio.wait([end], timeout=grace)
        return await self.kill()

    async def kill(self) -> int:
        """`kill -9`, and wait for the end. Returns the exit code; harmless when it has ended already."""
        self._started()[0].signal(signal.SIGKILL)
        return await self.wait()

    async def restart(self, grace: float = 10.0) -> None:
        """Stop it when it runs, then start it again with the same arguments and environment."""
        await self.stop(grace)
        await self.start()

    async def wait(self) -> int:
        """Wait for its end, whoever causes it; the exit code, minus the signal's number when a signal ended it."""
        return await asyncio.shield(self._started()[1])

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log, over all its starts."""
        return "\n".join(self._read_log(max(0, self._log_size() - _TAIL_BYTES)).splitlines()[-lines:])

    def log_since_start(self) -> str:
        return self._read_log(self._log_start)

    def _started(self) -> tuple[Guarded, asyncio.Future[int]]:
        if self._running is None or self._exit is None:
            raise Fatal(f"{self.name} was never started")
        return self._running, self._exit

    def _launch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._log_start = self._log_size()
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("ab") as log:
                self._running = Guarded(
                    self.argv, log=log, env={**os.environ, **self.env}, cwd=self.cwd, account=self.account
                )
        except OSError as exc:
            raise Fatal(
                f"{self.name} cannot be started ({shlex.join(self.argv[:1])}; log {self.log_path}): {exc}"
            ) from exc
        self._exit = loop.create_future()
        # A thread each, not the loop's child watcher or its executor: uvloop's watcher knows no process groups and
        # the executor's few threads would all be waiting.
        threading.Thread(
            target=_watch, args=(self._running, loop, self._exit), name=f"wait-{self.name}", daemon=True
        ).start()

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(self.ready_timeout):
                while self.ready and not (await self.ready(self) and self.alive):
                    if not self.alive:
                        raise self.fault(f"ended with exit code {await self.wait()} while starting")
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError as exc:
            raise self.fault(f"was not ready after {self.ready_timeout:g} s") from exc

    def fault(self, what: str) -> Fatal:
        """An error that shows where the log is and how it ends."""
        return Fatal(f"{self.name} {what}. The end of its log {self.log_path}:\n{self.log_tail()}")

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _read_log(self, start: int) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")


async def spawn(
    name: str,
    argv: Sequence[str],
    *,
    log_dir: Path,
    env: Mapping[str, str] | None = None,
    ready: Ready | None = None,
    ready_timeout: float = 60.0,
) -> Child:
    """Start a child; its output goes to `log_dir/name.log`, `env` is added to our own environment.

    Returns once `ready` says so, at once without it; Fatal when the child ends or hangs (`ready_timeout` seconds)
    before that.
    """
    child = Child(name, argv, log_dir, env=env or {}, ready=ready, ready_timeout=ready_timeout)
    await child.start()
    return child


async def run(
    name: str, argv: Sequence[str], *, log_dir: Path, account: Account | None = None, limit: float = 60.0
) -> None:
    """Run a program to its end; Fatal with its log's last lines when it fails or takes over `limit` seconds."""
    child = Child(name, argv, log_dir, account=account)
    await child.start()
    try:
        async with asyncio.timeout(limit):
            code = await child.wait()
    except TimeoutError as exc:
        raise child.fault(f"was not done after {limit:g} s") from exc
    finally:
        await child.kill()
    if code != 0:
        raise child.fault(f"failed with exit code {code}")


def _watch(running: Guarded, loop: asyncio.AbstractEventLoop, end: asyncio.Future[int]) -> None:
    code = running.wait()
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(end.set_result, code)
