"""Replay, resync and rebuild beside people at work, with kills, and after Kafka was lost: the same end state, nothing
written twice, and no call at all for what is so already."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from syncline.contracts.ref import Object
from syncline.contracts.topics import topics
from syncline.local.demo import both
from syncline.local.demo.data import id18
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.demo.watch import Watch
from syncline.local.processes import Child
from syncline.local.system import SERVICES
from syncline.runtime.admin import create_topics
from syncline.runtime.scan import reader
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import Hands, account, company, contact, customer, hands
from tests.e2e.people import at_work, check_end_state, small

SYNCLINE = (sys.executable, "-c", "from syncline.cli.main import main; main()")


async def told_by(told: Story, *words: str) -> Any:
    code, out, err = await syncline(told, *words, "--json")
    assert code == 0, f"{out}\n{err}"
    return json.loads(out)


async def run(told: Story) -> None:
    await asyncio.gather(*(told.system.start(service) for service in SERVICES))


async def asked_of_salesforce(told: Story) -> Counter[str]:
    """Calls that read or write records; a poll's own queries go on at any time."""
    calls = (await told.stats())["calls"]
    return Counter({kind: count for kind, count in calls.items() if kind not in ("query", "version", "limits")})


@asynccontextmanager
async def nothing_is_written(told: Story) -> AsyncIterator[None]:
    """Neither to the org, by its own count of calls, nor to the hub, by the change log's."""
    logged = "SELECT max(seq) FROM syncline_capture.changes"
    calls, seq = await asked_of_salesforce(told), await told.hub.fetchval(logged)
    outcomes = Counter(told.running.seen.outcomes)
    yield
    await told.settled()
    assert await asked_of_salesforce(told) == calls
    assert await told.hub.fetchval(logged) == seq
    assert {outcome for _, outcome in told.running.seen.outcomes - outcomes} <= {"unchanged", "skipped"}


async def test_what_is_so_already_costs_no_call_by_topic_and_by_source(whole: Whole) -> None:
    data = small(21)
    async with whole() as told:
        await told.fill(data)
        await run(told)
        await told.settled()
        async with nothing_is_written(told):
            done = await told_by(told, "replay")
            assert done["finished"]
            assert done["replayed"] == told.running.seen.events.total()
        events = told.running.seen.events.total()
        async with nothing_is_written(told):
            resynced = await told_by(told, "resync", "--all")
            assert resynced["finished"]
            assert sum(each["read"] for each in resynced["resyncs"]) > events / 4
        async with nothing_is_written(told):
            one = await told_by(told, "resync", "--record", data.org["Contact"][0]["Id"], "--object", "Contact")
            assert [each["read"] for each in one["resyncs"]] == [1]
        assert told.running.seen.events.total() == events, "the changes topics are what changed, and nothing else"


async def test_live_changes_win_while_a_replay_is_killed_and_goes_on(whole: Whole) -> None:
    data = small(22)
    async with whole() as told:
        await told.fill(data)
        await run(told)
        await told.settled()
        async with at_work(told, data, seed=22) as people:
            for window in ("150", "250", "400"):
                await replay_killed_and_resumed(told, window)
            await told_by(told, "resync", "--all", "--no-wait")
            rounds = people.rounds
            await told.until(lambda: people.rounds >= rounds + 3, "people to have worked on")
        await told_by(told, "replay")
        await check_end_state(told, people)


async def replay_killed_and_resumed(told: Story, window: str) -> None:
    """The window is small, so that it is under way for long; -9 strikes once it has begun."""
    name, before = f"kill{window}", await on_replay(told)
    argv = [*SYNCLINE, "replay", "--json", "--name", name, "--window", window]
    child = Child("replay", argv, told.system.folder / "logs", env={**os.environ, **told.system.environ})
    await child.start()
    async with asyncio.timeout(60):
        while child.alive and await on_replay(told) == before:
            await asyncio.sleep(0.02)
    await child.kill()
    code, out, err = await syncline(told, "replay", "--resume", name, "--json")
    assert code == 0 or "was left unfinished" in err, err
    assert code != 0 or json.loads(out)["finished"]


async def on_replay(told: Story) -> int:
    """Messages that the topic ever had."""
    places = [TopicPartition(told.system.names.replay, number) for number in range(told.system.partitions)]
    async with reader(told.system.stack.kafka_address) as consumer:
        return sum((await consumer.end_offsets(places)).values())


async def test_kafka_is_lost_and_rebuilt_from_what_is_left(whole: Whole) -> None:
    """Also what was on its way: an edit that was captured and not yet written."""
    async with whole() as told, hands(told) as people, AsyncExitStack() as stack:
        await people.load(ACCOUNT, account(1), account(2))
        await people.load(CONTACT, contact(1, account=1), contact(2, account=2))
        await people.insert(COMPANY, company(1))
        await people.insert(CUSTOMER, customer(1, company=1))
        await run(told)
        await told.settled()
        for service in SERVICES:
            await told.system.services.pop(f"{service}-0").stop(grace=30)
        await captured_and_lost(told, people)
        watch = Watch(told.system.stack.kafka_address, told.system.names, flowing(told), told.system.partitions)
        told.running.seen, told.watching = watch.seen, asyncio.create_task(watch.run())
        stack.callback(told.watching.cancel)

        await run(told)
        rebuilt = await told_by(told, "rebuild")
        assert (rebuilt["links"], rebuilt["finished"]) == (6, True)
        await people.sees((CUSTOMER, "c1@mail.example", {"title": "On its way"}))
        links = await told.state.fetchval("SELECT count(*) FROM syncline.links")
        assert links == 6, "nobody was made twice"

        await people.load(CONTACT, contact(900, account=1))  # whose parent was synced before
        await people.edit(CUSTOMER, await people.id(CUSTOMER, "k1@shop.example"), "phone", "+41 1")
        await people.update(CONTACT, {"Id": id18("003", 2), "Title": "Later"})
        await people.sees(
            (CUSTOMER, "c900@mail.example", {}),
            (CONTACT, "k1@shop.example", {"Phone": "+41 1"}),
            (CUSTOMER, "c2@mail.example", {"title": "Later"}),
        )
        assert await counted(people) == {ACCOUNT: 3, CONTACT: 4, COMPANY: 3, CUSTOMER: 4}


async def captured_and_lost(told: Story, people: Hands) -> None:
    """A poller captures an edit while no mapper runs; then all topics are gone, and made anew."""
    await people.update(CONTACT, {"Id": id18("003", 1), "Title": "On its way"})
    poller = await told.system.start("poller")
    events = told.running.seen.events["salesforce.Contact"]
    await told.until(lambda: told.running.seen.events["salesforce.Contact"] > events, "the edit to be captured")
    await poller.stop(grace=30)  # it stores its position behind the edit before it ends
    del told.system.services["poller-0"]
    told.watching.cancel()
    await asyncio.gather(told.watching, return_exceptions=True)
    config, kafka = told.system.config, told.system.stack.kafka_address
    wanted = topics(told.system.names, config.sources, config.targets)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in wanted])
        left = {topic.name for topic in wanted}
        async with asyncio.timeout(30):
            while left & set(await admin.list_topics()):
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await create_topics(kafka, wanted, partitions=told.system.partitions, replication=1)


def flowing(told: Story) -> list[str]:
    names, config = told.system.names, told.system.config
    changes, commands = map(names.changes, config.sources), map(names.commands, config.targets)
    return [*changes, *commands, names.results, names.dead_letters, names.changelog("held")]


async def counted(people: Hands) -> dict[Object, int]:
    records = await both.records(people.told.system, people.told.hub, people.told.http)
    return {kind: len(rows) for kind, rows in records.items()}
