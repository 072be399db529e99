"""A record's story, read back from real topics and the state schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from click.testing import CliRunner, Result

from services.mapper.mapped import Mapped
from syncline.cli.main import cli
from syncline.config.settings import Settings
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Fatal, Malformed
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import Topic, topics
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message, partition_of, publisher, send
from syncline.runtime.scan import scan
from syncline.state.conflicts import Conflicts
from syncline.state.database import connect, migrate
from syncline.state.links import Links
from syncline.timeline.asked import Unknown
from syncline.timeline.read import explain, held
from syncline.timeline.story import Story
from tests.conftest import FreshDatabase
from tests.unit.timeline import world
from tests.unit.timeline.world import ACCOUNT, CONTACT, CUSTOMER, OTHER, PIPELINES, change, command, mapped, result

PARTITIONS = 3
CONFIG = world.config()


async def _migrated(url: str) -> None:
    async with connect(url, application="test") as pool:
        await migrate(pool)


@dataclass
class Told:
    settings: Settings
    pool: Any
    said: list[tuple[int, int]]

    async def explain(self, asked: str, since: datetime | None = None) -> Story:
        return await explain(
            asked, self.settings, CONFIG, since=since, progress=lambda done, total: self.said.append((done, total))
        )

    async def publish(self, *messages: tuple[str, str | bytes, bytes]) -> None:
        async with publisher(self.settings.kafka, "test") as out:
            await out.publish(
                Message(topic, key.encode() if isinstance(key, str) else key, value) for topic, key, value in messages
            )

    async def hold(self, child: Mapped, value: bytes | None) -> None:
        """As the mapper does: in the partition of what is waited for."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.servers)
        await producer.start()
        try:
            row = (child.head.slot, value)
            number = partition_of(child.head.key, PARTITIONS)
            await asyncio.gather(*await send(producer, [row], self.settings.names.changelog("held"), number))
        finally:
            await producer.stop()


@pytest.fixture
async def told(kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase) -> AsyncIterator[Told]:
    async with fresh_database(_migrated) as url, connect(url, application="test", size=1) as pool:
        settings = Settings.read(
            {
                "SYNCLINE_KAFKA": kafka_address,
                "SYNCLINE_DATABASE_URL": url,
                "SYNCLINE_PREFIX": topic_prefix.rstrip("."),
                "SYNCLINE_PARTITIONS": str(PARTITIONS),
            }
        )
        wanted = topics(settings.names, CONFIG.sources, CONFIG.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        yield Told(settings, pool, [])


def row(child: Mapped, *, seconds_ago: float = 0) -> bytes:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    head = json.dumps({"at": int(at.timestamp() * 1000), "version": child.head.version}).encode()
    return head + b"\n" + child.encode()


async def live(told: Told) -> None:
    """A Contact that waited, was written, and came back as an echo; beside it another one of the same Account."""
    names = told.settings.names
    await told.publish(
        (names.changes(CONTACT.kind), CONTACT.id, change().encode()),
        (names.mapped, str(ACCOUNT), mapped().encode()),
        (names.mapped, str(ACCOUNT), mapped(OTHER).encode()),
        (names.requests, str(ACCOUNT), Request(ref=ACCOUNT, reason=f"{CONTACT} waits for it").encode()),
    )
    await told.hold(mapped(), row(mapped()))
    await told.hold(mapped(OTHER), row(mapped(OTHER), seconds_ago=42))
    await told.hold(mapped(), None)
    written, echo = result(), result(source=CUSTOMER, target=CONTACT, outcome="unchanged", written=(), created=False)
    await told.publish(
        (names.commands("hub"), str(ACCOUNT), command().encode()),
        *((names.results, key, written.encode()) for key in written.message_keys()),
    )
    await told.publish(
        (names.changes(CUSTOMER.kind), CUSTOMER.id, change(CUSTOMER).encode()),
        *((names.results, key, echo.encode()) for key in echo.message_keys()),
    )
    link = Link(Side(CONTACT, "v1", {"LastName": "Lund"}), Side(CUSTOMER, "9", {"last_name": "Lund"}))
    assert await Links(told.pool).save([link]) == [True]
    await Conflicts(told.pool).record(
        [
            Conflict(
                pipeline="contact-to-customer",
                source=CONTACT,
                target=CUSTOMER,
                field="phone",
                agreed=None,
                incoming="1",
                present="2",
                decided="incoming",
                version="v1",
            )
        ]
    )


def stages(story: Story) -> list[str]:
    return [entry.stage for entry in story.entries]


async def test_both_sides_ids_tell_the_same_story(told: Told) -> None:
    await live(told)
    story = await told.explain(CONTACT.id)
    assert story.refs == (CUSTOMER, CONTACT)
    assert sorted(stages(story)) == sorted(
        ["change", "mapped", "held", "held", "command", "result", "change", "result", "conflict", "link"]
    )
    assert stages(story)[-1] == "link"
    for asked in (CUSTOMER.id, f"customer/{CUSTOMER.id}", str(CONTACT)):
        again = await told.explain(asked)
        assert again.refs == story.refs
        assert again.entries[:-1] == story.entries[:-1], "the last one is what is true at the time of asking"
    done, total = told.said[-1]
    assert done == total


async def test_a_record_that_waits_says_for_whom_and_how_long(told: Told) -> None:
    await live(told)
    story = await told.explain(OTHER.id)
    *_, last = story.entries
    assert last.what in {f"held now: waiting for {ACCOUNT}, {seconds} s" for seconds in range(42, 60)}
    parent = await told.explain(f"Account/{ACCOUNT.id}")
    assert "held now: 1 record waiting for it" in parent.entries[-1].what
    assert parent.entries[-1].detail == {"records": [str(OTHER)]}
    assert "request" in stages(parent)
    [step] = await held(told.settings, CONFIG, progress=lambda *_: None)
    assert (step.slot.child, step.slot.on) == (OTHER, ACCOUNT)


async def test_since_leaves_out_what_is_older_but_not_what_is_true_now(told: Told) -> None:
    await live(told)
    await told.hold(mapped(), row(mapped(), seconds_ago=3600))
    later = datetime.now(UTC) + timedelta(milliseconds=5)
    while datetime.now(UTC) <= later + timedelta(milliseconds=1):  # Kafka's timestamps are whole milliseconds
        await asyncio.sleep(0)
    await told.publish((told.settings.names.changes(CONTACT.kind), CONTACT.id, change(version="v2").encode()))
    story = await told.explain(CONTACT.id, since=later)
    assert stages(story) == ["change", "held", "link"]
    assert story.entries[1].what == f"held now: waiting for {ACCOUNT}, 60 min"


async def test_dead_letters_are_found_by_name_and_by_the_place_of_what_could_not_be_read(told: Told) -> None:
    names = told.settings.names
    changes = names.changes(CONTACT.kind)
    await told.publish((changes, CONTACT.id, b"{}"))
    number = partition_of(CONTACT.id.encode(), PARTITIONS)
    unread = DeadLetter.of(Malformed("no"), stage="mapper", position=f"{changes}/{number}/0", input=b"{}")
    named = DeadLetter.of(Malformed("no"), stage="writer", position="id", input=None, ref=str(CONTACT))
    others = DeadLetter.of(Malformed("no"), stage="writer", position="id", input=None, ref=str(OTHER))
    await told.publish(*((names.dead_letters, each.key, each.encode()) for each in (unread, named, others)))
    story = await told.explain(f"Contact/{CONTACT.id}")
    assert sorted(stages(story)) == ["change", "dead letter", "dead letter"]


async def test_what_nobody_knows_is_said_to_be_unknown(told: Told) -> None:
    await live(told)
    with pytest.raises(Unknown, match="nothing is known of 003zz"):
        await told.explain("003zz")


async def test_a_missing_topic_is_named_with_what_to_do(told: Told) -> None:
    other = told.settings.model_copy(update={"prefix": f"{told.settings.prefix}.none"})
    with pytest.raises(Fatal, match="syncline topics"):
        await explain(CONTACT.id, other, CONFIG, since=None, progress=lambda *_: None)


async def test_a_long_scan_takes_every_message_once_and_ends_while_more_come(told: Told) -> None:
    topic, many = f"{told.settings.prefix}.many", 30_000
    await create_topics(told.settings.kafka, [Topic(topic)], partitions=PARTITIONS, replication=1)
    await told.publish(*((topic, str(n), b"x" * 200) for n in range(many)))

    ended = asyncio.Event()

    async def keep_coming() -> None:
        while not ended.is_set():
            await told.publish(*((topic, f"late{n}", b"x") for n in range(100)))

    coming = asyncio.create_task(keep_coming())
    consumer = AIOKafkaConsumer(bootstrap_servers=told.settings.kafka.servers, group_id=None)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            found = await scan(
                consumer,
                {topic: range(PARTITIONS)},
                lambda record: not (record.key or b"").startswith(b"late"),
                since=None,
                progress=lambda *_: None,
            )
    finally:
        ended.set()
        await coming
        await consumer.stop()
    assert sorted(int(record.key or b"") for record in found) == list(range(many))


async def invoke(told: Told, tmp_path: Path, words: Sequence[str]) -> Result:
    pipelines = tmp_path / "pipelines.yaml"
    pipelines.write_text(PIPELINES)
    settings = told.settings
    env = {
        "SYNCLINE_KAFKA": settings.kafka.servers,
        "SYNCLINE_DATABASE_URL": settings.database_url.get_secret_value(),
        "SYNCLINE_PREFIX": settings.prefix,
        "SYNCLINE_PARTITIONS": str(PARTITIONS),
        "SYNCLINE_PIPELINES": str(pipelines),
        "COLUMNS": "200",
    }
    done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=env)
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done


async def test_the_commands_tell_it_to_people_and_to_machines(told: Told, tmp_path: Path) -> None:
    names = told.settings.names
    await live(told)
    odd = Ref(*CONTACT.kind, "003odd")
    loud = change(odd, fields={"LastName": "\x1b[31m[bold]red"})
    await told.publish((names.changes(odd.kind), odd.id, loud.encode()))

    people = await invoke(told, tmp_path, ["explain", CONTACT.id])
    assert people.exit_code == 0
    assert f"{CUSTOMER} = {CONTACT}" in people.output
    assert f"no longer held for {ACCOUNT}" in people.output
    machines = await invoke(told, tmp_path, ["explain", CONTACT.id, "--json"])
    assert machines.exit_code == 0, machines.output
    assert json.loads(machines.stdout)["records"] == [str(CUSTOMER), str(CONTACT)]

    shown = await invoke(told, tmp_path, ["explain", odd.id])
    assert "[bold]red" in shown.output
    assert "\x1b" not in shown.output

    unknown = await invoke(told, tmp_path, ["explain", "003zz"])
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: nothing is known of 003zz")

    waiting = json.loads((await invoke(told, tmp_path, ["held", "list", "--json"])).stdout)
    assert waiting["count"] == 1
    assert waiting["held"][0]["record"] == str(OTHER)
    assert waiting["held"][0]["seconds"] >= 42
    assert str(OTHER) in (await invoke(told, tmp_path, ["held", "list"])).output

    conflicts = json.loads((await invoke(told, tmp_path, ["conflicts", "list", "--json"])).stdout)
    assert [each["field"] for each in conflicts["conflicts"]] == ["phone"]
    assert "incoming" in (await invoke(told, tmp_path, ["conflicts", "list"])).output


async def test_nothing_held_and_no_conflict_are_said_so(told: Told, tmp_path: Path) -> None:
    assert (await invoke(told, tmp_path, ["held", "list"])).output == "nothing is held\n"
    assert (await invoke(told, tmp_path, ["conflicts", "list"])).output == "no conflict was recorded\n"


@pytest.mark.parametrize("since", ["yesterday", "5 weeks"])
async def test_a_time_that_cannot_be_read_is_refused(told: Told, tmp_path: Path, since: str) -> None:
    refused = await invoke(told, tmp_path, ["explain", "x", "--since", since])
    assert refused.exit_code == 2
    assert "2h, 3d" in refused.stderr
