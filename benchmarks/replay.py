"""A replay of what is applied already, as it ships: `syncline replay`, mapper and writer, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.stage import Bench, Row, field_of, require
from benchmarks.workload import ACCOUNT, CONTACT, changes, org
from services.poller.events import messages
from syncline.config.settings import Settings
from syncline.contracts.result import Result
from syncline.local.machine import Say
from syncline.local.processes import Child
from syncline.replay.window import stages

ROOT = Path(__file__).parents[1]
SYNCLINE = (sys.executable, "-c", "from syncline.cli.main import main; main()")


@dataclass(frozen=True)
class Replayed:
    """seconds: from the first change on `replay` to the last result. bare: changes/s of a loop that reads the same
    topic and drops what it read. calls: what the writer sent to the target meanwhile."""

    changes: int
    seconds: float
    bare: float
    calls: int

    @property
    def rate(self) -> float:
        return self.changes / self.seconds

    def document(self) -> dict[str, Any]:
        return {
            "changes": self.changes,
            "seconds": round(self.seconds, 3),
            "changes_per_second": round(self.rate, 1),
            "bare_read_per_second": round(self.bare, 1),
            "ratio": round(self.rate / self.bare, 4),
            "write_calls": self.calls,
        }

    def rows(self) -> Iterator[Row]:
        yield Row("replay", f"{self.changes:,}", f"{self.rate:,.0f}", f"{self.rate / self.bare:.3f}")
        yield Row("  bare reading", "", f"{self.bare:,.0f}")
        yield Row("  write calls", f"{self.calls:,}", "")


async def replay(bench: Bench, records: int, say: Say) -> Replayed:
    """`records` changes, a tenth of them Accounts, are applied by the services first, then replayed."""
    system, names = bench.system, bench.system.names
    rows = org(records // 10, records - records // 10)
    await bench.publish(
        messages(
            [
                change
                for kind, name in ((ACCOUNT, "Account"), (CONTACT, "Contact"))
                for change in changes(system.config, kind, rows[name])
            ],
            names,
        )
    )
    settings = Settings.read(system.environ)
    mapper, writer = [await system.start(name, log_format="json", log_level="info") for name in ("mapper", "writer")]
    say("  applying them")
    await _applied(bench, settings)
    before, done = await _calls(writer), await bench.ends([names.results])
    say("  replaying them")
    child = Child("replay", [*SYNCLINE, "replay", "--json"], system.folder / "logs", env=system.environ, cwd=ROOT)
    await child.start()
    if code := await child.wait():
        raise child.fault(f"failed with exit code {code}")
    calls = await _calls(writer) - before
    for service in (mapper, writer):
        await service.stop()

    sent = json.loads(child.log_since_start())["replayed"]
    require(sent == records, f"{sent} of {records} changes were replayed")
    first = min([record.timestamp async for record in bench.stream(names.replay)])
    seen, outcomes, last = set(), Counter[str](), 0
    results = [record async for record in bench.stream(names.results)]
    results.sort(key=lambda record: record.timestamp)
    for record in results:
        if record.timestamp >= first:
            result = Result.decode(record.value)
            outcomes[result.outcome] += 1
            seen.add(result.source)
            last = max(last, record.timestamp)
    require(set(outcomes) == {"unchanged"}, f"the replay came to {dict(outcomes)}")
    require(len(seen) == records, f"{len(seen)} of {records} records have a result")
    require(len(results) > sum(done.values()), "nothing was replayed")
    return Replayed(records, (last - first) / 1000, records / await _read(bench, names.replay, records), calls)


async def _applied(bench: Bench, settings: Settings) -> None:
    """Until nothing is under way: what is released by results comes later than what was published."""
    names = bench.system.names
    async with stages(settings, bench.system.config) as under_way:
        before: dict[str, int] = {}
        while True:
            await under_way.through(asyncio.Event(), lambda _: None)
            now = await bench.ends([names.results, names.mapped])
            if now == before and await under_way.lag() == 0:
                return
            before = now
            await asyncio.sleep(1)


async def _calls(writer: Child) -> int:
    [port] = await field_of(writer, "health endpoint", "port")
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as reply:
        text = await reply.text()
    return round(sum(map(float, re.findall(r"^syncline_writer_calls_total\{.*\} (\S+)$", text, re.MULTILINE))))


async def _read(bench: Bench, topic: str, records: int) -> float:
    """Seconds that a bare loop takes for the topic."""
    argv = [sys.executable, "-m", "benchmarks.reader", bench.kafka, topic, str(bench.system.partitions), str(records)]
    reader = Child("reader", argv, bench.system.folder / "logs", cwd=ROOT)
    await reader.start()
    if code := await reader.wait():
        raise reader.fault(f"failed with exit code {code}")
    seconds: float = json.loads(reader.log_since_start().splitlines()[-1])
    return seconds
