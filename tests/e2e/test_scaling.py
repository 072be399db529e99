"""One replica of a stage becomes three and one again, and three are replaced, under a steady load: nothing is lost,
nothing is there twice, and how long a partition stood still is told."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from syncline.config.settings import Settings
from syncline.contracts.command import Command
from syncline.contracts.ref import Ref
from syncline.contracts.result import Result
from syncline.local.demo.run import Story
from syncline.local.processes import Child
from syncline.local.system import SERVICES
from syncline.runtime.scan import reader, stream
from tests.e2e.conftest import SESSION_TIMEOUT, Whole, syncline
from tests.e2e.pauses import Pauses, measured
from tests.e2e.people import People, at_work, check_end_state, small
from tests.unit.deploy.test_deployment import pod

Tell = Callable[[str, object], None]

LATENCY = ("--latency", "0.15")
"""Seconds that each call to Salesforce takes, as in life: who is killed then is often in the middle of a pass."""
EVERY = 0.4
"""Seconds from one round of edits to the next; each makes and changes some fourteen records."""
ROUNDS = 10


@pytest.mark.soak
async def test_each_stage_by_itself_from_one_to_three_and_back(whole: Whole, record_property: Tell) -> None:
    """With the times that are shipped."""
    async with scaled(whole, record_property, seed=6, partitions=6, environ={}) as (pauses, people):
        async with of_all(pauses, "first load", 1):
            await worked(pauses, people)
        for service in SERVICES:
            async with pauses.during(service, "undisturbed", 1):
                await worked(pauses, people)
            async with pauses.during(service, "join", 3):
                await joined(pauses.told, service, 1, 2)
            async with pauses.during(service, "rollout", 3):
                await rolled_out(pauses, service)
            async with pauses.during(service, "graceful leave", 2):
                await left(pauses.told, f"{service}-3")
            async with pauses.during(service, "kill -9", 1):
                await killed(pauses.told, f"{service}-4")
        session = Settings().session_timeout
        for (service, cause), stood in pauses.longest.items():
            # Only who dies is waited for so long.
            assert stood.seconds < session * (1.5 if cause == "kill -9" else 1), (service, cause)


async def test_all_stages_at_once_from_one_to_three_and_back(whole: Whole, record_property: Tell) -> None:
    """There are two partitions, of two targets: one mapper has nothing to do, which is no fault."""
    environ = {**SESSION_TIMEOUT, "SYNCLINE_STANDBY_REPLICAS": "0"}
    async with scaled(whole, record_property, seed=5, partitions=2, environ=environ) as (pauses, _):
        told = pauses.told
        async with of_all(pauses, "join", 3):
            await asyncio.gather(*(joined(told, service, 1, 2) for service in SERVICES))
        await idle_is_no_fault(told)
        async with of_all(pauses, "graceful leave and kill -9", 1):
            for service in SERVICES:
                # In this order: a replica that has just heard that another left is between two passes.
                await killed(told, f"{service}-1")
                await left(told, f"{service}-0")


@asynccontextmanager
async def scaled(whole: Whole, tell: Tell, *, seed: int, **options: object) -> AsyncIterator[tuple[Pauses, People]]:
    """One of each, at work; in the end all that must be true is, and the figures are told."""
    data = small(seed)
    async with whole(org=("--seed", str(seed), *LATENCY), **options) as told:
        await told.fill(data)
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        async with at_work(told, data, seed, every=EVERY) as people, measured(told) as pauses:
            yield pauses, people
        for (service, cause), stood in pauses.longest.items():
            rebalances = pauses.rebalances[service, cause]
            place = stood.place.removeprefix(f"{told.system.names.prefix}.")
            tell(f"{service}, {cause}", f"stood still for {stood.seconds:.1f} s ({place}), {rebalances} rebalances")
        await check_end_state(told, people)
        code, out, err = await syncline(told, "verify", "--json", "--wait", "60")
        assert code == 0, out + err
        await all_answered(told)


@asynccontextmanager
async def of_all(pauses: Pauses, cause: str, replicas: int) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for service in SERVICES:
            await stack.enter_async_context(pauses.during(service, cause, replicas))
        yield


async def worked(pauses: Pauses, people: People) -> None:
    rounds = people.rounds
    await pauses.told.until(lambda: people.rounds >= rounds + ROUNDS, "people to have worked")


async def joined(told: Story, service: str, *replicas: int) -> None:
    await asyncio.gather(*(told.system.start(service, replica) for replica in replicas))


async def left(told: Story, name: str) -> None:
    child = told.system.services.pop(name)
    began = time.monotonic()
    assert await child.stop(pod(name.partition("-")[0])["terminationGracePeriodSeconds"]) == 0, child.log_tail()
    assert time.monotonic() - began < 30


async def killed(told: Story, name: str) -> None:
    assert await told.system.services.pop(name).kill() == -9


async def rolled_out(pauses: Pauses, service: str) -> None:
    """Replicas 0 to 2 give way to 3 to 5 as the manifests say: mappers one after the other, of the others all new ones
    before the old."""
    told, old = pauses.told, [f"{service}-{number}" for number in range(3)]
    if service == "mapper":
        for number, name in enumerate(old):
            await left(told, name)
            await joined(told, service, 3 + number)
            await ready(told.system.services[f"{service}-{3 + number}"])
    else:
        await joined(told, service, 3, 4, 5)
        await asyncio.gather(*(ready(told.system.services[f"{service}-{number}"]) for number in (3, 4, 5)))
        await asyncio.gather(*(left(told, name) for name in old))


async def asked_ready(child: Child) -> tuple[int, str]:
    found = re.search(r'"port": (\d+)', child.log_since_start())
    assert found
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{found[1]}/ready") as reply:
        return reply.status, await reply.text()


async def ready(child: Child) -> None:
    async with asyncio.timeout(60):
        while (await asked_ready(child))[0] != 200:
            await asyncio.sleep(0.1)


async def idle_is_no_fault(told: Story) -> None:
    code, out, err = await syncline(told, "status", "--json", "--quick")
    assert code == 0, err
    stages = {each["stage"]: (each["replicas"], each["idle"]) for each in json.loads(out)["stages"]}
    assert stages == {"poller": (3, 0), "mapper": (3, 1), "writer": (3, 0)}
    mappers = [child for name, child in told.system.services.items() if name.startswith("mapper")]
    answers = dict.fromkeys(["ready", "ready, idle"], 200)
    async with asyncio.timeout(30):
        while {text: status for status, text in [await asked_ready(child) for child in mappers]} != answers:
            await asyncio.sleep(0.1)
    assert any('"event": "idle"' in child.log_since_start() for child in mappers)


async def all_answered(told: Story) -> None:
    """Every command comes to a result, or a newer one of the record does, which may stand for several. A record that
    was written last is polled some seconds after all is quiet, for it now holds its counterpart's id."""
    system, until = told.system, time.monotonic() + 20
    while True:
        commands = await newest(told, map(system.names.commands, system.config.targets), Command.decode)
        results = await newest(told, [system.names.results], Result.decode)
        assert commands
        left = {each: version for each, version in commands.items() if results.get(each, "") < version}
        if not left:
            return
        assert time.monotonic() < until, left
        await asyncio.sleep(0.5)


async def newest(
    told: Story, topics: Iterable[str], decode: Callable[[bytes], Command | Result]
) -> dict[tuple[str, Ref], str]:
    """Of each pipeline's record the newest version on these topics."""
    found: dict[tuple[str, Ref], str] = {}
    places = {topic: range(told.system.partitions) for topic in topics}
    async with reader(told.system.stack.kafka_address) as consumer:
        async for records in stream(consumer, places, progress=lambda _, __: None):
            for each in (decode(record.value) for record in records):
                key = (each.pipeline, each.source)
                found[key] = max(each.version, found.get(key, ""))
    return found
