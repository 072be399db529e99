"""Held records released or asked for, how it stands, and what a run came to, on a real broker and state schema."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.mapper.engine import Effects, Hop, Input, Reader
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import Engine
from services.mapper.mapped import Mapped, Wait
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import MAPPER_TABLES
from syncline.runtime.kafka import partition_of
from syncline.simorg import DEMO, Options, Org, Schema, serve
from syncline.state.conflicts import Conflicts
from syncline.state.cursors import Cursors
from syncline.state.leases import Leases
from tests.conftest import FreshDatabase
from tests.integration.oncall import PARTITIONS, OnCall, on_call
from tests.unit.timeline.world import ACCOUNT, CONTACT, CUSTOMER, OTHER, PIPELINES, held_row, mapped, result

ALLOWING = PIPELINES.replace("pipeline: account-to-company}", "pipeline: account-to-company, without: hold}")


@pytest.fixture
async def call(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[OnCall]:
    async with on_call(kafka_address, topic_prefix, fresh_database, tmp_path, pipelines=ALLOWING) as call:
        yield call


async def hold(call: OnCall, child: Mapped, *, gone: bool = False) -> None:
    """As the mapper does: in the partition of what is waited for."""
    row = held_row(child)
    assert row.value
    number = partition_of(child.head.key, PARTITIONS)
    topic = call.settings.names.changelog("held")
    now = int(datetime.now(UTC).timestamp() * 1000) - 5000
    await call.put(topic, None if gone else row.value, key=row.key, partition=number, timestamp_ms=now)


async def sent(call: OnCall) -> list[Any]:
    return await call.on(call.settings.names.commands("hub"))


async def test_release_shows_what_will_be_written_and_sends_just_that(call: OnCall) -> None:
    given: dict[str, Any] = {
        "seen": {"LastName": "Lund", "AccountId": ACCOUNT.id},
        "inputs": {"last_name": ["LastName"], "company_id": ["AccountId"]},
    }
    await hold(call, mapped(**given))
    await hold(call, mapped(OTHER))
    plan = await call.told("held", "release", CONTACT.id)
    assert (plan["released"], plan["next"]) == (0, "add --yes to write this")
    assert plan["plan"] == [
        {
            "record": str(CONTACT),
            "target": "hub/customer",
            "pipeline": "contact-to-customer",
            "version": "v1",
            "fields": {"last_name": "Lund"},
            "without": "company_id",
            "waits_for": str(ACCOUNT),
        }
    ]
    no = await call.say("held", "release", CONTACT.id, input="n\n")
    assert no.exit_code == 1
    assert 'last_name = "Lund"' in no.output
    assert f"without company_id, for which it goes on waiting for {ACCOUNT}" in no.output
    assert await sent(call) == []
    yes = await call.say("held", "release", CONTACT.id, input="y\n")
    assert "1 on the way to the writer" in yes.output
    [record] = await sent(call)
    assert (record.key, record.partition) == (str(ACCOUNT).encode(), partition_of(str(ACCOUNT).encode(), PARTITIONS))
    command = Command.decode(record.value)
    assert (command.source, command.fields, command.seen) == (CONTACT, {"last_name": "Lund"}, {"LastName": "Lund"})
    assert command.inputs == {"last_name": ["LastName"]}
    assert (await call.told("held", "release", OTHER.id, "--yes"))["released"] == 1


async def test_what_waits_for_nothing_or_may_not_go_is_refused_with_the_next_step(call: OnCall, tmp_path: Path) -> None:
    await hold(call, mapped())
    await hold(call, mapped(OTHER))
    await hold(call, mapped(OTHER), gone=True)
    for record in (OTHER.id, "003zz"):
        refused = await call.say("held", "release", record, "--yes")
        assert refused.exit_code == 1
        assert f"{record} waits for nothing: see `syncline held list`" in refused.stderr
    (tmp_path / "skip.yaml").write_text(PIPELINES)
    refused = await call.say("held", "release", CONTACT.id, "--yes", SYNCLINE_PIPELINES=str(tmp_path / "skip.yaml"))
    assert refused.exit_code == 1
    assert "parent.without: skip" in refused.stderr
    assert "syncline held fetch-parent" in refused.stderr
    other = await call.say("held", "release", CONTACT.id, "--pipeline", "another", "--yes")
    assert other.exit_code == 1
    assert await sent(call) == []


async def test_fetch_parent_asks_for_what_is_waited_for_by_child_by_parent_and_for_all(call: OnCall) -> None:
    second = Ref(*ACCOUNT.kind, "001000000000002AAA")
    await hold(call, mapped())
    await hold(call, mapped(OTHER))
    await hold(call, mapped(OTHER, waits=(Wait(str(second), str(CUSTOMER.kind), "x"),)))
    await hold(call, mapped(waits=(Wait(f"{ACCOUNT.kind}/-", str(CUSTOMER.kind), "y"),)))
    assert (await call.told("held", "fetch-parent", f"Account/{ACCOUNT.id}"))["asked"] == [str(ACCOUNT)]
    told = await call.told("held", "fetch-parent", CONTACT.id)
    assert told["asked"] == [str(ACCOUNT)]
    assert "names no salesforce/Account" in told["refused"][0]
    everyone = await call.say("held", "fetch-parent", "--all")
    assert sorted(everyone.stdout.splitlines()) == [f"asked for {ACCOUNT}", f"asked for {second}"]
    requests = await call.on(call.settings.names.requests)
    assert sorted(str(Request.decode(each.value).ref) for each in requests) == [str(ACCOUNT)] * 3 + [str(second)]
    assert all(each.key == str(Request.decode(each.value).ref).encode() for each in requests)
    nobody = await call.say("held", "fetch-parent", "003zz")
    assert (nobody.exit_code, "waits for nothing" in nobody.stderr) == (1, True)
    assert (await call.say("held", "fetch-parent")).exit_code == 2


async def test_status_tells_lag_by_service_without_any_running(call: OnCall) -> None:
    names = call.settings.names
    commands = names.commands("hub")
    await call.publish(*((commands, str(n), b"{}") for n in range(30)), (names.requests, "k", b"{}"))
    stages = {each["stage"]: each for each in (await call.told("status"))["stages"]}
    assert {stage: (each["replicas"], each["lag"]) for stage, each in stages.items()} == {
        "poller": (0, 1),
        "mapper": (0, 0),
        "writer": (0, 30),
    }
    consumer = AIOKafkaConsumer(
        commands,
        bootstrap_servers=call.settings.kafka.servers,
        group_id=names.writer,
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(commands, number) for number in range(PARTITIONS)])
        await consumer.commit({tp: max(0, end - 1) for tp, end in ends.items()})
        writer = (await call.told("status", "--quick"))["stages"][2]
        assert (writer["replicas"], writer["lag"]) == (1, sum(end > 0 for end in ends.values()))
        assert (writer["topics"][commands], writer["idle"]) == (writer["lag"], 0)
        assert f"{1 + PARTITIONS} (1 idle)" in (await with_as_many_as_partitions_more(call, "status", "--quick")).output
    finally:
        await consumer.stop()


async def with_as_many_as_partitions_more(call: OnCall, *words: str) -> Any:
    names = call.settings.names
    async with AsyncExitStack() as running:
        for _ in range(PARTITIONS):
            consumer = AIOKafkaConsumer(
                names.commands("hub"),
                bootstrap_servers=call.settings.kafka.servers,
                group_id=names.writer,
                heartbeat_interval_ms=100,
            )
            running.push_async_callback(consumer.stop)
            await consumer.start()
        return await call.say(*words)


async def test_status_tells_what_each_mapper_serves_and_follows(call: OnCall, tmp_path: Path) -> None:
    names = call.settings.names
    stop = asyncio.Event()

    def mapper(number: int) -> Engine:
        settings = EngineSettings(
            kafka=call.settings.kafka,
            app_id=names.mapper,
            partitions=PARTITIONS,
            state_dir=tmp_path / str(number),
            instance=f"mapper-{number}",
            standby_replicas=1,
        )
        return Engine(settings, [Hop("join", (names.mapped,), MAPPER_TABLES, nothing)])

    mappers = [mapper(number) for number in range(2)]
    running = asyncio.gather(*(each.run(stop) for each in mappers))
    try:
        async with asyncio.timeout(30):
            while not all(each.progress.assigned and each.progress.caught_up for each in mappers):
                await asyncio.sleep(0.05)
        told = (await call.told("status", "--quick"))["mappers"]
        assert sorted(len(each["serves"]) for each in told) == [1, 2]
        assert [each["instance"] for each in told] == ["mapper-0", "mapper-1"]
        assert [each["follows"] for each in told] == [each["serves"] for each in reversed(told)]
        people = (await call.say("status", "--quick")).output
        assert "2 partitions (" in people
        assert "1 partitions (" not in people
    finally:
        stop.set()
        await running


def nothing(batch: Sequence[Input], stored: Reader) -> Effects:
    return Effects()


async def test_status_tells_cursors_conflicts_held_and_dead_letters(call: OnCall) -> None:
    [lease] = await Leases(call.pool, "poller", "pod-1", 60).take([CONTACT.kind], 1)
    await Cursors(call.pool).store(lease, {"stamp": "2026-11-21T10:00:00.000Z", "id": "003"})
    review = Conflict(
        pipeline="p",
        source=CONTACT,
        target=CUSTOMER,
        field="phone",
        agreed=None,
        incoming="1",
        present="2",
        decided="review",
        version="v1",
    )
    await Conflicts(call.pool).record([review, replace(review, field="title", decided="incoming")])
    await hold(call, mapped())
    await hold(call, mapped(OTHER))
    await hold(call, mapped(OTHER), gone=True)
    letters = [DeadLetter.of(Malformed("no"), stage="mapper", position=f"t/0/{n}", input=b"{") for n in range(3)]
    await call.refuse(*letters)
    first = (await call.told("dead-letters", "list"))["dead_letters"][0]["id"]
    await call.told("dead-letters", "drop", first)

    told = await call.told("status")
    cursors = {each["object"]: each for each in told["cursors"]}
    assert set(cursors) == {"hub/company", "hub/customer", "salesforce/Account", "salesforce/Contact"}
    read = cursors["salesforce/Contact"]
    assert (read["reader"], read["position"]["id"]) == ("pod-1", "003")
    assert datetime.fromisoformat(read["moved_at"]) <= datetime.now(UTC)
    assert (cursors["hub/company"]["reader"], cursors["hub/company"]["position"]) == (None, None)
    assert told["conflicts"] == {"waiting": 1, "last_day": 2}
    assert told["held"]["count"] == 1
    assert datetime.fromisoformat(told["held"]["since"]) < datetime.now(UTC)
    assert told["dead_letters"] == {"count": 2, "kinds": [{"stage": "mapper", "code": "MALFORMED", "count": 2}]}
    assert told["quota"] == {}
    quick = await call.told("status", "--quick")
    assert (quick["held"], quick["dead_letters"]) == (None, None)
    people = (await call.say("status")).output
    for said in ("nobody", "never read", "pod-1", "1 wait for a person", "held          1,", "2 MALFORMED"):
        assert said in people


async def test_status_without_topics_or_state_says_what_to_run(call: OnCall, fresh_database: FreshDatabase) -> None:
    missing = await call.say("status", SYNCLINE_PREFIX=f"{call.settings.prefix}.none")
    assert missing.exit_code == 1
    assert "run `syncline topics`" in missing.stderr
    async with fresh_database() as url:
        empty = await call.say("status", SYNCLINE_DATABASE_URL=url)
    assert empty.exit_code == 1
    assert "run `syncline migrate`" in empty.stderr


async def test_the_quota_is_asked_for_only_when_a_person_wants_it(call: OnCall, tmp_path: Path) -> None:
    org = Org(
        Schema.standard(DEMO),
        clock=lambda: datetime.now(UTC),
        rng=random.Random(1),
        options=Options(client_secret="y", client_id="x"),
    )
    async with serve(org) as url:
        (tmp_path / "org.yaml").write_text(ALLOWING.replace("https://acme.my.salesforce.com", url))
        org_file = str(tmp_path / "org.yaml")
        await call.say("status", "--quick", SYNCLINE_PIPELINES=org_file)
        before = org.usage.used(datetime.now(UTC))
        told = await call.say("status", "--quick", "--quota", "--json", SYNCLINE_PIPELINES=org_file)
        assert told.exit_code == 0, told.output
    assert before == 0
    document = json.loads(told.stdout[told.stdout.index("{") :])  # after the client's logs, which `main` silences
    assert document["quota"] == {"salesforce": {"used": 1, "maximum": 100_000}}


async def test_a_run_is_counted_by_outcome_each_result_once(call: OnCall) -> None:
    topic = call.settings.names.results
    results = [
        result(),
        result(created=False),
        result(outcome="unchanged", written=(), created=False, reason="nothing differs"),
        result(outcome="rejected", target=None, created=False, reason="STRING_TOO_LONG: Ng is too long: 90"),
        result(outcome="rejected", target=None, created=False, reason="STRING_TOO_LONG: Lund is too long: 91"),
        result(outcome="skipped", created=False, reason=f"{CUSTOMER} was deleted and is not made again"),
        result(pipeline="other"),
    ]
    await call.publish(*((topic, key.decode(), each.encode()) for each in results for key in each.message_keys()))
    await call.publish((topic, "k", b"{"))
    told = await call.told("results")
    assert (told["count"], told["unreadable"]) == (7, 1)
    assert told["pipelines"]["contact-to-customer"] == {
        "written": 2,
        "created": 1,
        "unchanged": 1,
        "skipped": 1,
        "conflict": 0,
        "rejected": 2,
    }
    reasons = {(each["outcome"], each["reason"]): each["count"] for each in told["reasons"]}
    assert reasons["rejected", "STRING_TOO_LONG"] == 2
    assert reasons["skipped", "the record was deleted and is not made again"] == 1
    assert (await call.told("results", "--pipeline", "other"))["count"] == 1
    assert (await call.told("results", "--until", "1h"))["count"] == 0
    assert (await call.told("results", "--since", "1h"))["count"] == 7
    assert (await call.say("results", "--until", "1h")).output == "no result in this span of time\n"
    wrong = await call.say("results", "--since", "1h", "--until", "2h")
    assert wrong.exit_code == 2
    people = (await call.say("results")).output
    assert "2 rejected in contact-to-customer: STRING_TOO_LONG" in people
    assert "7 results, " in people


async def test_a_span_takes_what_is_between_two_times(call: OnCall) -> None:
    topic, made = call.settings.names.results, result(target=None)
    for minutes in (50, 30, 10):
        at = int(datetime.now(UTC).timestamp() * 1000) - minutes * 60_000
        await call.put(topic, made.encode(), key=str(CONTACT).encode(), partition=0, timestamp_ms=at)
    spans = [("1h", "40m"), ("40m", "20m"), ("1h", "20m"), ("5m", "1m")]
    counts = [(await call.told("results", "--since", since, "--until", until))["count"] for since, until in spans]
    assert counts == [1, 1, 2, 0]
