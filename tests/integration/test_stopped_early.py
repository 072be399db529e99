"""Told to stop before it has begun, a service ends at once and without a fault: while it imports (as process 1 of a
container too, for which the kernel drops signals without a handler) and while it waits for what is away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from syncline.local.machine import free_port
from syncline.local.processes import line, spawn
from syncline.local.system import PIPELINES, SERVICES

ROOT = Path(__file__).parents[2]


def handled(pid: int) -> int:
    """The signals that the process handles, a bit each."""
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("SigCgt:")]
    return int(line.split()[1], 16)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_signal_during_imports_ends_it_at_once(service: str, number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{service}"), cwd=ROOT, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(10):
        while not handled(process.pid) & 1 << signal.SIGTERM - 1:
            await asyncio.sleep(0.001)  # without a handler it ends, for it has no mapping, and has no status any more
        process.send_signal(number)
        said, _ = await process.communicate()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.parametrize("service", SERVICES)
async def test_who_waits_for_kafka_and_postgresql_ends_at_once(service: str, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    environ = {
        "SYNCLINE_KAFKA": nobody,
        "SYNCLINE_DATABASE_URL": f"postgresql://{nobody}/none",
        "SYNCLINE_HUB_URL": f"postgresql://{nobody}/none",
        "SYNCLINE_PIPELINES": str(PIPELINES),
        "SYNCLINE_STATE_DIR": str(tmp_path / "state"),
        "SALESFORCE_LOGIN_URL": f"http://{nobody}",
        "SALESFORCE_CLIENT_ID": "nobody",
        "SALESFORCE_CLIENT_SECRET_FILE": os.devnull,
    }
    command = [sys.executable, "-m", f"services.{service}"]
    child = await spawn(service, command, log_dir=tmp_path, env=environ, ready=line("waiting for"))
    assert await child.stop() == 0, child.log_tail()
    assert '"event": "stopped while it waited"' in child.log_since_start()
