"""Two mappers and two writers beside one of each, over the same changes, and whose processor time it took."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

import aiohttp

from benchmarks.processor import spent
from benchmarks.stage import LOOK, PATIENCE, Bench, Row, opened, require
from benchmarks.workload import ACCOUNT, COMPANY, CONTACT, changes, org
from services.poller.cursor import normal
from services.poller.events import messages
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object, Ref
from syncline.contracts.result import Result
from syncline.local.demo import both
from syncline.local.demo.data import Sizes, make
from syncline.local.machine import Say
from syncline.local.processes import Child
from syncline.local.system import System, system
from syncline.state.database import connect

STAGES = {"mapper": "serving", "writer": "assigned"}
"""Service to what a replica logs, with its partitions, when it takes a share."""
CUSTOMER = Object("hub", "customer")
CALL = 0.2
"""Seconds that each call to Salesforce takes."""
BUSY = 0.9
"""Share of the machine from which on it is what bounds."""

Load = Callable[[Config, int], list[Change]]


@dataclass(frozen=True)
class Run:
    """replicas: of either service. seconds: from the first change to the last result. spent: processor seconds of each
    program `within` as many seconds; nothing where the system does not tell."""

    replicas: int
    records: int
    seconds: float
    within: float
    spent: dict[str, float]

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def busy(self) -> float:
        """Share of the machine's processors, by others that use it too."""
        return sum(self.spent.values()) / self.within / (os.cpu_count() or 1)

    def document(self) -> dict[str, Any]:
        return {
            "replicas": self.replicas,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.rate, 1),
            "processor_seconds": {name: round(seconds, 2) for name, seconds in self.spent.items()},
            "busy": round(self.busy, 3),
        }


@dataclass(frozen=True)
class Scaled:
    """runs: one of each, two of each, one of each again, for others may use the machine too."""

    records: int
    runs: tuple[Run, ...]

    @property
    def two(self) -> Run:
        return next(run for run in self.runs if run.replicas == 2)

    @property
    def ratio(self) -> float:
        return self.two.rate / median(run.rate for run in self.runs if run.replicas == 1)

    @property
    def bound(self) -> str:
        """What still more replicas would meet."""
        used = self.two.spent
        if not used:
            return "unknown: this system does not tell what a process spends"
        busy = (
            f"{os.cpu_count()} processors, {self.two.busy:.0%} busy, most by {max(used, key=lambda name: used[name])}"
        )
        return f"the {busy}" if self.two.busy >= BUSY else f"waiting, for there are {busy}"

    def document(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "ratio": round(self.ratio, 3),
            "bound": self.bound,
            "runs": [run.document() for run in self.runs],
        }


@dataclass(frozen=True)
class Scaling:
    """By target system."""

    to: dict[str, Scaled]

    def document(self) -> dict[str, Any]:
        return {"seconds_per_call": CALL, **{target: found.document() for target, found in self.to.items()}}

    def rows(self) -> Iterator[Row]:
        for target, found in self.to.items():
            yield Row(f"scaling, to {target}", f"{found.records:,}", f"{found.two.rate:,.0f}", f"{found.ratio:.2f}")
            for run in found.runs:
                yield Row(f"  {run.replicas} and {run.replicas}", "", f"{run.rate:,.0f}")
                for name, seconds in sorted(run.spent.items(), key=lambda each: -each[1]):
                    yield Row(f"    {name}", f"{seconds:.1f} s", "")
            yield Row(f"  bound by {found.bound}", "", "")


async def scaling(bench: Bench, records: int, say: Say) -> Scaling:
    """`records` changes in Salesforce until the hub has them, where processors are what there is; and a quarter as many
    in the hub until Salesforce has them, each call of which takes as long as in life."""
    loads: dict[str, tuple[Load, int]] = {"hub": (in_salesforce, records), "salesforce": (in_the_hub, records // 4)}
    to: dict[str, Scaled] = {}
    for target, (load, count) in loads.items():
        runs = []
        for number, replicas in enumerate((1, 2, 1)):
            say(f"  to {target}, {replicas} and {replicas}")
            async with _fresh(bench.system, f"{target}{number}") as own:
                runs.append(await run(own, load(own.system.config, count), replicas, target))
        to[target] = Scaled(count, tuple(runs))
    return Scaling(to)


@asynccontextmanager
async def _fresh(first: System, name: str) -> AsyncIterator[Bench]:
    """Topics, databases and an org of its own on the same servers: each run finds nothing of the one before."""
    async with (
        system(
            first.folder / name,
            kafka_address=first.stack.kafka_address,
            database_url=first.stack.database_url,
            prefix=f"{first.names.prefix}.{name}",
            org=("--latency", str(CALL)),
        ) as running,
        opened(running) as bench,
    ):
        yield bench


def in_salesforce(config: Config, records: int) -> list[Change]:
    """A tenth are Accounts; without hierarchies, so that one record is one command."""
    rows = org(records // 10, records - records // 10)
    accounts = [{**row, "ParentId": None} for row in rows["Account"]]
    return [*changes(config, ACCOUNT, accounts), *changes(config, CONTACT, rows["Contact"])]


def in_the_hub(config: Config, records: int) -> list[Change]:
    """As many companies as there are Accounts on the other way; nobody is known to Salesforce."""
    count, now = records // 10, datetime.now(UTC)
    sizes = Sizes(accounts=0, contacts=0, orphans=0, companies=count, customers=records - count, matching=0)
    rows = make(sizes, rng=random.Random(7), now=now).hub
    return [
        Change(
            ref=Ref(*kind, str(row["id"])),
            instance=config.systems[kind.system].instance,
            op="update",
            version=f"{number:020}",
            time=normal(now.strftime("%Y-%m-%dT%H:%M:%S.000+0000")),
            fields={name: str(row[name]) if row.get(name) is not None else None for name in sorted(config.reads(kind))},
        )
        for kind, table in ((COMPANY, "companies"), (CUSTOMER, "customers"))
        for number, row in enumerate(rows[table])
    ]


async def run(bench: Bench, sent: Sequence[Change], replicas: int, target: str) -> Run:
    """The clock starts once every replica has its share, at the first change, and stops at the last result."""
    running, names, records = bench.system, bench.system.names, len(sent)
    children = [
        await running.start(service, replica, log_format="json", log_level="info")
        for service in STAGES
        for replica in range(replicas)
    ]
    try:
        await _shared(running, children)
        before, began = spent(), time.monotonic()
        await bench.publish(messages(sent, names))
        await bench.reached(children[-1], {names.results: 2 * records})
        within = time.monotonic() - began
        used = {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in spent().items()}
    finally:
        await asyncio.gather(*(child.stop() for child in children))
    await check(bench, {change.ref for change in sent}, target)
    read = {names.changes(change.ref.kind) for change in sent}
    first = min([each.timestamp async for each in bench.stream(*read)])
    last = max([each.timestamp async for each in bench.stream(names.results)])
    return Run(replicas, records, (last - first) / 1000, within, used)


async def _shared(running: System, children: Sequence[Child]) -> None:
    """Until the replicas of each stage have all partitions among them, and each has some."""
    config, began = running.config, time.monotonic()
    topics = {"mapper": len(config.sources) + 3, "writer": len(config.targets)}
    wanted = {service: count * running.partitions for service, count in topics.items()}
    while True:
        shares = {child.name: len(_partitions(child)) for child in children}
        found = Counter[str]()
        for name, count in shares.items():
            found[name.partition("-")[0]] += count
        if all(shares.values()) and found == wanted:
            return
        if time.monotonic() - began > PATIENCE:
            raise Fatal(f"no figures: after {PATIENCE:.0f} s the replicas' shares are {shares}")
        await asyncio.sleep(LOOK)


def _partitions(child: Child) -> list[str]:
    """Those that it was given last."""
    event = STAGES[child.name.partition("-")[0]]
    lines = [line for line in child.log_since_start().splitlines() if f'"event": "{event}"' in line]
    return list(json.loads(lines[-1])["partitions"]) if lines else []


async def check(bench: Bench, refs: set[Ref], target: str) -> None:
    results = [Result.decode(record.value) async for record in bench.stream(bench.system.names.results)]
    require({each.outcome for each in results} == {"written"}, "not every command was written")
    require({each.source for each in results} == refs, "not every record has a result")
    async with connect(bench.system.hub_url, application="bench", size=1) as hub, aiohttp.ClientSession() as http:
        found = await both.records(bench.system, hub, http)
    count = sum(len(rows) for kind, rows in found.items() if kind.system == target)
    require(count == len(refs), f"{target} has {count} records where {len(refs)} were sent")
