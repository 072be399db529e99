"""A child process that cannot outlive us, however we die.

Every child runs in the process group of a guard: a shell that reads a pipe of which only this process holds the other
end. When this process ends, by `kill -9` too, the kernel closes that end, the guard reads end-of-file and kills its
whole group. The guard exists before the child and the child joins the group before its `exec`, so there is no moment
in which the child runs unguarded. It needs nothing but POSIX: Linux's `PR_SET_PDEATHSIG` is not portable and fires
when the *thread* that started the child ends.

A process that leaves the group by `setsid` is out of reach. PostgreSQL's backends do; they end by themselves as
soon as their postmaster is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

# A polite signal to everything we run (systemd, `docker stop`) must not take the guard before its parent.
_SCRIPT = "trap '' HUP INT TERM; read -r _; kill -KILL 0"


class Account(NamedTuple):
    """Who a child runs as, when not as we do."""

    uid: int
    gid: int


class Guarded:
    """One running child and its guard. `wait` must be called, in any thread, to clean up after the child's end."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: IO[bytes],
        env: Mapping[str, str],
        cwd: Path,
        account: Account | None = None,
    ) -> None:
        self._guard = subprocess.Popen(  # noqa: S603 - a constant
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            process_group=0,
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603 - no shell; what to run is our caller's choice
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                process_group=self._guard.pid,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except BaseException:
            self._end_group()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens when the child has ended already."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Block until the child ends; end what it left running in its group; return its exit code (-9: SIGKILL)."""
        code = self._process.wait()
        self._end_group()
        return code

    def _end_group(self) -> None:
        os.killpg(self._guard.pid, signal.SIGKILL)  # the guard is not reaped yet, so the id is still ours
        self._guard.wait()
        if self._guard.stdin:
            self._guard.stdin.close()
