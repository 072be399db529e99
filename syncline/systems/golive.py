"""The go-live list: all that can be known to be wrong before the services start, and what the first run will cost."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from syncline.config.checks import Finding, check
from syncline.config.model import Config, PostgresSystem, SalesforceSystem, StreamSystem
from syncline.config.price import first_run
from syncline.config.settings import Settings
from syncline.contracts.catalog import Described
from syncline.contracts.errors import RecordRejected, SynclineError, Transient
from syncline.contracts.ref import Object
from syncline.contracts.topics import topics
from syncline.hub.capture import check_installed
from syncline.hub.tables import quoted_table
from syncline.runtime.admin import topic_faults
from syncline.runtime.postgres import errors
from syncline.salesforce.client import Salesforce
from syncline.salesforce.protocol import Limits
from syncline.salesforce.soql import Name, soql
from syncline.salesforce.versions import VERSIONS
from syncline.state.cursors import Cursors
from syncline.state.database import check_migrated, connect
from syncline.systems.catalogs import described_in_hub, objects_of, salesforce_objects
from syncline.systems.salesforce import open_salesforce

SKEW = timedelta(seconds=2)
"""So far two clocks may be apart; `conflict: latest` takes times within it for equal."""
SECOND = timedelta(seconds=1)
"""The header Date has whole seconds."""
AGAIN = "Put it right and check again."
BUDGET = 20.0
"""Seconds that one call to Salesforce is repeated."""
MUCH = 0.5
"""A share of what is left of the day's calls that a person should know of."""

Clock = Callable[[], datetime]


@dataclass
class Look:
    """findings: what is wrong. told: what else is worth knowing. rows: of objects that were never read, how many the
    first run reads."""

    settings: Settings
    config: Config
    now: Clock
    findings: list[Finding] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    described: dict[Object, Described] = field(default_factory=dict)
    rows: dict[Object, int] = field(default_factory=dict)
    usage: dict[str, Limits] = field(default_factory=dict)
    read_before: set[Object] = field(default_factory=set)
    unreached: set[str] = field(default_factory=set)

    @property
    def good(self) -> bool:
        return not any(finding.blocks for finding in self.findings)

    @asynccontextmanager
    async def at(self, place: str) -> AsyncIterator[None]:
        """What cannot be looked at is a finding, and the others are looked at all the same."""
        try:
            yield
        except SynclineError as error:
            remedy = error.remedy if isinstance(error, RecordRejected) and error.remedy else AGAIN
            self.findings.append(Finding(place, str(error), remedy))

    async def state(self) -> None:
        url = self.settings.database_url
        async with self.at("database"), connect(url, application="syncline-check", size=1) as pool:
            await check_migrated(pool)
            self.read_before = {each.kind for each in await Cursors(pool).all() if each.position is not None}

    async def kafka(self) -> None:
        async with self.at("kafka"):
            expected = topics(self.settings.names, self.config.sources, self.config.targets)
            faults = await topic_faults(self.settings.kafka, expected, partitions=self.settings.partitions)
            self.findings += [Finding("kafka", each.what, each.remedy) for each in faults]

    async def salesforce(self, name: str, system: SalesforceSystem, rng: random.Random) -> None:
        async with open_salesforce(system, rng=rng, budget=BUDGET) as client:
            self.described |= await salesforce_objects(client, objects_of(self.config, name))
            await self.clock(name, lambda: _salesforce_time(client))
            for kind in self._unread(name):
                since = self.now() - timedelta(days=system.poll_days(kind.name))
                self.rows[kind] = await _count(client, kind.name, since)
            if client.usage:
                self.usage[name] = client.usage

    async def postgres(self, name: str, system: PostgresSystem) -> None:
        async with connect(system.url, application="syncline-check", size=1) as pool:
            for kind in objects_of(self.config, name):
                self.described[kind] = await described_in_hub(pool, system.objects[kind.name])
            await self.clock(name, lambda: _postgres_time(pool))
            captured = {kind.name: system.objects[kind.name] for kind in self.config.polled if kind.system == name}
            async with self.at(f"systems.{name}"):
                await check_installed(pool, captured)
            for kind in self._unread(name):
                with errors(f"counting {kind}"):
                    table = quoted_table(system.objects[kind.name].table)
                    self.rows[kind] = await pool.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - quoted

    async def clock(self, name: str, ask: Callable[[], Awaitable[tuple[datetime, timedelta]]]) -> None:
        """ask: that system's time, and how coarse it is."""
        before = self.now()
        theirs, coarse = await ask()
        after = self.now()
        ahead, behind = theirs - after, before - theirs - coarse
        if max(ahead, behind) > SKEW:
            apart = f"{max(ahead, behind).total_seconds():.0f} s {'ahead of' if ahead > behind else 'behind'}"
            what = f"its clock is {apart} this machine's, and `conflict: latest` compares the times of both sides"
            remedy = "Synchronise the clocks, this machine's included (NTP)."
            self.findings.append(Finding(f"systems.{name}", what, remedy, blocks=False))

    def mapping(self) -> None:
        """A system that could not be reached has its finding; that it shows no objects says nothing more."""
        described = {kind: each.catalog for kind, each in self.described.items()}
        rights = {kind: each.rights for kind, each in self.described.items()}
        silent = {f"{system} shows no object" for system in self.unreached}
        judged = check(self.config, described, rights)
        self.findings += [each for each in judged if not any(each.what.startswith(start) for start in silent)]

    def quota(self) -> None:
        for name, usage in self.usage.items():
            run = first_run(self.config, name, self.rows)
            left = max(0, usage.maximum - usage.used)
            price = f"the first run takes up to {run.calls:,} of the {left:,} calls that {name} has left today"
            if not run.calls:
                continue
            self.told.append(f"{price}: {', '.join(run.told())}")
            if run.calls > left * MUCH:
                remedy = "Shorten the look-back (<object>_poll_days), wait until calls are free again, or buy more."
                self.findings.append(Finding(f"systems.{name}", price, remedy, blocks=run.calls > left))

    def _unread(self, system: str) -> list[Object]:
        return [kind for kind in self.config.polled if kind.system == system and kind not in self.read_before]


async def look(settings: Settings, config: Config, *, rng: random.Random, now: Clock) -> Look:
    """Asks everything that the configuration names: one describe an object, and in Salesforce one count of each that
    was never read. What cannot be reached is a finding like any other."""
    found = Look(settings, config, now)
    await found.state()
    await found.kafka()
    for name, system in config.systems.items():
        if isinstance(system, StreamSystem):
            continue
        before = len(found.findings)
        async with found.at(f"systems.{name}"):
            if isinstance(system, SalesforceSystem):
                await found.salesforce(name, system, rng)
            else:
                await found.postgres(name, system)
        if len(found.findings) > before:
            found.unreached.add(name)
    found.mapping()
    found.quota()
    found.findings.sort(key=lambda each: not each.blocks)
    return found


async def _salesforce_time(client: Salesforce) -> tuple[datetime, timedelta]:
    await client.request(VERSIONS)  # costs no quota
    if client.server_time is None:
        raise Transient("Salesforce's replies carry no Date: look for a proxy that removes it")
    return client.server_time, SECOND


async def _postgres_time(pool: Any) -> tuple[datetime, timedelta]:
    with errors("asking for the time"):
        told: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return told.astimezone(UTC), timedelta(0)


async def _count(client: Salesforce, name: str, since: datetime) -> int:
    statement = soql("SELECT COUNT() FROM {name} WHERE SystemModstamp >= {since}", name=Name(name), since=since)
    return sum([page.total async for page in client.query(statement, include_deleted=True)])
