"""The simulated org as a process of its own, as the demo runs it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

PROMPT = 10.0
"""Seconds in which a process must have said that it is ready, or have ended."""


@asynccontextmanager
async def process(*options: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "syncline.simorg",
        *map(str, options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def ready(child: asyncio.subprocess.Process) -> dict[str, Any]:
    assert child.stdout is not None
    line = await asyncio.wait_for(child.stdout.readline(), PROMPT)
    parsed: dict[str, Any] = orjson.loads(line)
    return parsed


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    return path


def use(told: dict[str, Any]) -> None:
    """Logs in and reads a describe."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = told["ca"]
        form = {"grant_type": "client_credentials", "client_id": told["client_id"], "client_secret": "s3cret"}
        token = session.post(f"{told['url']}/services/oauth2/token", data=form).json()
        assert token["instance_url"] == told["url"]
        session.headers["Authorization"] = f"Bearer {token['access_token']}"
        reply = session.get(f"{told['url']}/services/data/v57.0/sobjects/Contact/describe")
        assert reply.headers["Sforce-Limit-Info"] == "api-usage=1/7"
        assert "Segment__c" in [field["name"] for field in reply.json()["fields"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_tells_its_address_works_and_ends_cleanly(secret: Path, tmp_path: Path, number: signal.Signals) -> None:
    tls = tmp_path / "tls"
    async with process("--client-secret-file", secret, "--demo", "--tls", tls, "--quota", "7") as child:
        told = await ready(child)
        assert told["url"].startswith("https://127.0.0.1:")
        assert "s3cret" not in str(told)
        await asyncio.to_thread(use, told)
        child.send_signal(number)
        assert await asyncio.wait_for(child.wait(), PROMPT) == 0
        assert child.stderr is not None
        assert await child.stderr.read() == b""


@pytest.mark.parametrize(
    ("options", "reason"),
    [((), b"nobody could log in"), (("--schema", "/nonexistent"), b"no *.json file of an object found")],
)
async def test_says_why_it_cannot_start(secret: Path, options: tuple[str, ...], reason: bytes) -> None:
    given: tuple[str | Path, ...] = ("--client-secret-file", secret, *options) if options else ()
    async with process(*given) as child:
        _, errors = await asyncio.wait_for(child.communicate(), PROMPT)
        assert child.returncode != 0
        assert reason in errors
        assert b"Traceback" not in errors
