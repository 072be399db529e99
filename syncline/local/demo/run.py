"""The demo's story: fill both systems, start the services, edit and kill while records flow, wait, compare."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from syncline.contracts.errors import Fatal
from syncline.contracts.topics import topics
from syncline.local.demo import both
from syncline.local.demo.compare import Comparison, compare
from syncline.local.demo.data import Data, Sizes, make
from syncline.local.demo.edits import Edits
from syncline.local.demo.watch import Lag, Seen, Watch
from syncline.local.machine import Say
from syncline.local.system import SERVICES, System, system
from syncline.state.database import connect

PATIENCE = 100.0
"""Seconds without an end after which the demo gives up and tells what differs."""


@dataclass
class Report:
    """What the demo found; `document` is what --json prints. Times are in seconds."""

    records: dict[str, dict[str, int]]
    seen: Seen
    calls: dict[str, int]
    first_load_write_calls: int
    comparison: Comparison
    conflicts: int
    killed: str
    seconds: float
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return self.comparison.equal and not self.seen.held and not self.seen.letters

    def document(self) -> dict[str, Any]:
        seen = self.seen
        return {
            "equal": self.good,
            "records": self.records,
            "created": seen.total("created"),
            "patched": seen.total("patched"),
            "unchanged": seen.total("unchanged"),
            "skipped": {reason: len(records) for reason, records in sorted(seen.skipped.items())},
            "conflicts": self.conflicts,
            "held": {"peak": seen.peak, "now": len(seen.held)},
            "parents_asked_for": seen.asked,
            "dead_letters": len(seen.letters),
            "api_calls": self.calls,
            "first_load_write_calls": self.first_load_write_calls,
            "compared": {"pairs": self.comparison.compared, "fields": self.comparison.fields},
            "differing": self.comparison.differing,
            "unaccounted": self.comparison.unaccounted,
            "killed": self.killed,
            "seconds": {
                **{name: round(value, 1) for name, value in self.timings.items()},
                "all": round(self.seconds, 1),
            },
        }


@dataclass
class Running:
    """What the live view looks at."""

    seen: Seen
    step: str = "starting"
    calls: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, int] = field(default_factory=dict)


Show = Callable[[Running], Awaitable[None]]


async def demo(folder: Path, *, say: Say, show: Show, sizes: Sizes, seed: int = 7) -> Report:
    """Raises Fatal when something cannot start, or when both sides are not equal in time."""
    began = time.monotonic()
    rng = random.Random(seed)  # noqa: S311 - made-up data
    async with system(folder, say=say, environ={"SYNCLINE_SESSION_TIMEOUT": "6"}) as running, story(running) as told:
        say(f"filling both systems: {sizes.accounts} Accounts, {sizes.contacts + sizes.orphans} Contacts,")
        say(f"  {sizes.companies} companies, {sizes.customers} customers")
        await told.fill(make(sizes, rng=rng, now=datetime.now(UTC)))
        showing = asyncio.create_task(told.keep_showing(show))
        try:
            return await told.tell(sizes, rng, began)
        finally:
            showing.cancel()


@asynccontextmanager
async def story(running: System) -> AsyncIterator[Story]:
    names, config = running.names, running.config
    flowing = [topic.name for topic in topics(names, config.sources, config.targets)]
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        hub = await stack.enter_async_context(connect(running.hub_url, application="demo", size=2))
        state = await stack.enter_async_context(connect(running.state_url, application="demo", size=2))
        watched = [
            each
            for each in flowing
            if each not in (names.mapped, names.replay, names.changelog("records"), names.changelog("synced"))
        ]
        watch = Watch(running.kafka, names, watched, running.partitions)
        watching = asyncio.create_task(watch.run())
        stack.callback(watching.cancel)
        services = [each for each in flowing if "changelog" not in each and each != names.dead_letters]
        lag = Lag(running.kafka, names, services, running.partitions)
        yield Story(running, http, hub, state, await stack.enter_async_context(lag), Running(watch.seen), watching)


@dataclass
class Story:
    """`hub` and `state` are pools."""

    system: System
    http: aiohttp.ClientSession
    hub: Any
    state: Any
    lag: Lag
    running: Running
    watching: asyncio.Task[None]
    edited_calls: int = 0

    async def fill(self, data: Data) -> None:
        async with self.http.post(f"{self.system.org_url}/simorg/load", json=data.org) as reply:
            if reply.status != 200:
                raise Fatal(f"the simulated org refused the demo's data: {await reply.text()}")
        for table, rows in data.hub.items():
            columns = list(rows[0])
            await self.hub.copy_records_to_table(
                table,
                schema_name="hub",
                columns=columns,
                records=[
                    tuple(row.get(column, False if column == "is_primary" else None) for column in columns)
                    for row in rows
                ],
            )

    async def tell(self, sizes: Sizes, rng: random.Random, began: float) -> Report:
        timings = {"start": time.monotonic() - began}
        at = time.monotonic()
        self.running.step = "first load"
        await asyncio.gather(*(self.system.start(service) for service in SERVICES))
        expected = sizes.accounts + sizes.contacts + sizes.companies + sizes.customers
        await self.until(lambda: self.running.seen.total("created") >= expected * 0.3, "records to flow")
        killed = "writer-0"
        self.running.step = f"{killed} killed with -9 and started again"
        await self.system.services[killed].kill()
        await self.system.services[killed].start()
        await self.settled()
        first_load = await self._write_calls()
        timings["first_load"] = time.monotonic() - at

        at = time.monotonic()
        self.running.step = "people edit on both sides"
        edits = Edits(self.system, self.hub, await both.pairs(self.state), rng)
        self.edited_calls += await edits.make()
        self.running.step = "until both sides are equal"
        comparison = await self.settled(edits.arrived)
        timings["edits"] = time.monotonic() - at
        return await self._report(comparison, first_load, killed, time.monotonic() - began, timings)

    async def settled(self, arrived: Callable[[Any], bool] | None = None) -> Comparison:
        """Until nothing waits anywhere, nothing new comes, and both sides are equal. Raises Fatal after PATIENCE."""
        until = time.monotonic() + PATIENCE
        before: object = None
        found = Comparison()
        while time.monotonic() < until:
            self._all_alive()
            self.running.lag = await self.lag()
            seen = self.running.seen
            now = (seen.outcomes.total(), seen.events.total(), seen.commands.total(), len(seen.letters))
            if not any(self.running.lag.values()) and not seen.held and now == before:
                records = await both.records(self.system, self.hub, self.http)
                skipped = {each for many in seen.skipped.values() for each in many}
                found = compare(self.system.config, records, await both.pairs(self.state), skipped)
                if found.equal and (arrived is None or arrived(records)):
                    return found
            before = now
            await asyncio.sleep(0.5)
        raise Fatal(self._why(found))

    def _why(self, found: Comparison) -> str:
        seen = self.running.seen
        told = [*found.unaccounted, *found.differing]
        lag = {topic: count for topic, count in self.running.lag.items() if count}
        return "\n  ".join(
            [
                f"not equal after {PATIENCE:.0f} s: {len(told)} differ, {len(seen.held)} held, behind: {lag or '-'}",
                *told[:10],
                *(f"waits for {who}: {count}" for who, count in seen.waiting_for()[:5]),
                *(f"dead letter {letter.code}: {letter.message}" for letter in seen.letters[:5]),
                f"logs: {self.system.folder / 'logs'}",
            ]
        )

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            self._all_alive()
            if time.monotonic() > until:
                raise Fatal(f"waited {PATIENCE:.0f} s for {what}; logs: {self.system.folder / 'logs'}")
            await asyncio.sleep(0.1)

    def _all_alive(self) -> None:
        if self.watching.done():
            self.watching.result()
        for name, child in self.system.services.items():
            if not child.alive:
                raise Fatal(f"{name} ended:\n{child.log_tail()}")

    async def stats(self) -> dict[str, Any]:
        async with self.http.get(f"{self.system.org_url}/simorg/stats") as reply:
            stats: dict[str, Any] = await reply.json()
            return stats

    async def _write_calls(self) -> int:
        return int((await self.stats())["calls"]["write"]) - self.edited_calls

    async def keep_showing(self, show: Show) -> None:
        while True:
            self.running.calls = (await self.stats())["calls"]
            await show(self.running)
            await asyncio.sleep(0.3)

    async def _report(
        self, comparison: Comparison, first_load: int, killed: str, seconds: float, timings: dict[str, float]
    ) -> Report:
        records = await both.records(self.system, self.hub, self.http)
        counted: dict[str, dict[str, int]] = {}
        for kind, rows in records.items():
            counted.setdefault(kind.system, {})[kind.name] = len(rows)
        calls = dict((await self.stats())["calls"])
        calls["write"] -= self.edited_calls
        conflicts = await self.state.fetchval("SELECT count(*) FROM syncline.conflicts")
        return Report(counted, self.running.seen, calls, first_load, comparison, conflicts, killed, seconds, timings)
