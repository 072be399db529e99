"""Kafka and PostgreSQL together: started at once, ended together, and with a parent that is killed."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from syncline.contracts.errors import Fatal
from syncline.local.kafka import Broker
from syncline.local.machine import run_dir
from syncline.local.processes import line, spawn
from syncline.local.stack import stack

AllEnded = Callable[[Iterable[int]], Awaitable[None]]


async def test_both_end_within_seconds_of_a_parent_that_is_killed(all_ended: AllEnded) -> None:
    with run_dir(name="stack") as data_dir:
        program = textwrap.dedent(f"""
            import asyncio, json
            from pathlib import Path
            from syncline.local.stack import stack

            async def main():
                async with stack(Path({str(data_dir)!r}), say=lambda text: print("said", text)) as running:
                    pids = [running.broker.process.pid, running.server.process.pid]
                    print("up", json.dumps([running.kafka_address, running.database_url, pids]), flush=True)
                    await asyncio.Event().wait()

            asyncio.run(main())
        """)
        environment = {"SYNCLINE_KAFKA": "", "SYNCLINE_DATABASE_URL": ""}
        parent = await spawn(
            "parent", [sys.executable, "-c", program], log_dir=data_dir, env=environment, ready=line("up ")
        )
        said, _, up = parent.log_since_start().rpartition("up ")
        address, database_url, pids = json.loads(up)
        assert f"said Kafka: {address}, local" in said
        assert "said PostgreSQL: 127.0.0.1:" in said
        assert database_url not in said

        connection = await asyncpg.connect(database_url)
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        await parent.kill()
        await all_ended([*pids, backend])
        connection.terminate()


async def test_those_from_outside_are_used_and_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_KAFKA", "broker:9092")
    said: list[str] = []
    url = "postgresql://me:hush@db:5432/syncline"
    async with stack(tmp_path / "data", database_url=url, say=said.append) as running:
        assert (running.kafka_address, running.database_url) == ("broker:9092", url)
        assert (running.broker, running.server) == (None, None)
    assert sorted(said) == ["Kafka: broker:9092, as given", "PostgreSQL: db:5432/syncline, as given"]
    assert not (tmp_path / "data").exists()


async def test_when_one_cannot_start_the_other_is_ended(monkeypatch: pytest.MonkeyPatch, all_ended: AllEnded) -> None:
    async def fail_beside_postgres(data_dir: Path) -> Broker:
        pid_file = data_dir.parent / "postgres" / "tables" / "postmaster.pid"
        async with asyncio.timeout(30):
            while not (pid_file.exists() and "ready" in pid_file.read_text()):
                await asyncio.sleep(0.02)
        pids.append(int(pid_file.read_text().split()[0]))
        raise Fatal("no Java here")

    @asynccontextmanager
    async def broken(data_dir: Path, **_: object) -> AsyncIterator[Broker]:
        yield await fail_beside_postgres(data_dir)

    pids: list[int] = []
    monkeypatch.delenv("SYNCLINE_KAFKA", raising=False)
    monkeypatch.delenv("SYNCLINE_DATABASE_URL", raising=False)
    monkeypatch.setattr("syncline.local.stack.kafka", broken)
    with run_dir(name="stack") as data_dir:
        with pytest.raises(Fatal, match="no Java here"):
            async with stack(data_dir):
                pass
        assert len(pids) == 1
        await all_ended(pids)
