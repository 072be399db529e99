"""More partitions on a real broker: whatever step a run is ended at, the next one comes to the same end."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from syncline.config.load import load
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object
from syncline.contracts.tables import HOMES
from syncline.contracts.topics import topics
from syncline.local.system import PIPELINES
from syncline.partitions import change as changing
from syncline.partitions.change import Refused, carry_out, look
from syncline.runtime.admin import add_partitions, check_topics, create_topics, partition_counts
from syncline.runtime.kafka import Placed, Publisher, partition_of, publisher
from syncline.runtime.scan import reader, stream
from syncline.state.database import connect, migrate
from syncline.state.partitions import FormerCounts
from tests.conftest import FreshDatabase

BEFORE, AFTER = 2, 3
ENVIRON = {
    "SALESFORCE_LOGIN_URL": "https://acme.my.salesforce.com",
    "SALESFORCE_CLIENT_ID": "id",
    "SALESFORCE_CLIENT_SECRET_FILE": "/secret",
    "SYNCLINE_HUB_URL": "postgresql://hub",
}
CONFIG: Config = load(PIPELINES, ENVIRON)
ACCOUNT = Object("salesforce", "Account")
REFS = [f"salesforce/Account/{n}" for n in range(12)]
ROWS = {
    "records": dict.fromkeys(REFS, b"record"),
    "synced": {f"{ref}>hub/company": b"id" for ref in REFS[:4]},
    "held": {f"{ref}>hub/company\0salesforce/Contact/{n}\0contact-to-customer\0company_id": b"held"
             for n, ref in enumerate(REFS) if n > 3},
}  # fmt: skip

GONE = {REFS[3], f"{REFS[3]}>hub/company"}
"""Rows that were deleted."""


class Killed(BaseException):
    """As -9 is: nothing is cleaned up behind it."""


@pytest.fixture
async def settings(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[Settings]:
    async with fresh_database() as url:
        async with connect(url, application="test", size=1) as pool:
            await migrate(pool)
        made = Settings.model_validate(
            {"kafka": kafka_address, "prefix": topic_prefix.rstrip("."), "database_url": url, "partitions": BEFORE}
        )
        wanted = topics(made.names, CONFIG.sources, CONFIG.targets)
        await create_topics(kafka_address, wanted, partitions=BEFORE, replication=1)
        yield made


async def fill(settings: Settings) -> None:
    """Rows as mappers leave them, one deleted; and changes that nobody has handled, in their order."""
    names = settings.names
    async with publisher(settings.kafka, "test") as out:
        for table, rows in ROWS.items():
            placed = [
                Placed(names.changelog(table), partition_of(HOMES[table](key), BEFORE), key, value)
                for text, kept in rows.items()
                for key in (text.encode(),)
                for value in (b"older", None if text in GONE else kept)
            ]
            await out.place(placed)
        for n in range(30):
            key = str(n % 10).encode()
            topic = names.changes(ACCOUNT)
            await out.place([Placed(topic, partition_of(key, BEFORE), key, b"%d" % n, (("kept", b"yes"),))])


async def change(settings: Settings, to: int = AFTER) -> None:
    found = await look(settings, CONFIG, to, progress=lambda *_: None)
    await carry_out(found, settings, CONFIG, progress=lambda *_: None, say=lambda _: None)


async def read(settings: Settings, topic: str, partitions: int = AFTER) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    async with reader(settings.kafka) as consumer:
        async for records in stream(consumer, {topic: range(partitions)}, progress=lambda *_: None):
            for record in records:
                found[record.partition].append(record)
    return found


async def check(settings: Settings, partitions: int = AFTER) -> None:
    """Every row lies where it belongs, and nowhere else; each key's changes came in their order to their place."""
    for table, rows in ROWS.items():
        live: dict[tuple[int, bytes], bytes] = {}
        for number, records in (await read(settings, settings.names.changelog(table), partitions)).items():
            for each in records:
                if each.value is None:
                    live.pop((number, each.key), None)
                else:
                    live[number, each.key] = each.value
        expected: Mapping[tuple[int, bytes], bytes] = {
            (partition_of(HOMES[table](key), partitions), key): value
            for text, value in rows.items()
            for key in (text.encode(),)
            if text not in GONE
        }
        assert live == expected, table
    found = await read(settings, settings.names.changes(ACCOUNT), partitions)
    for key in (str(n).encode() for n in range(10)):
        mine = [each for each in found[partition_of(key, partitions)] if each.key == key]
        assert [int(each.value) for each in mine][-3:] == [int(key), int(key) + 10, int(key) + 20]
        assert {tuple(each.headers) for each in mine} == {(("kept", b"yes"),)}


async def test_whatever_step_a_run_is_ended_at_the_next_comes_to_the_same_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is ended once, before it or after it; and no service can start until all of it is done."""
    await fill(settings)
    steps: list[str] = []
    fatal = [0]

    def ends(name: str, real: Any) -> Any:
        async def step(*args: Any, **more: Any) -> Any:
            if len(steps) == fatal[0]:
                steps.append(name)
                if len(steps) % 2:  # the effect of every other step is there though its end was never seen
                    await real(*args, **more)
                raise Killed
            steps.append(name)
            return await real(*args, **more)

        return step

    for owner, name in ((Publisher, "forward"), (Publisher, "place"), (changing, "add_partitions")):
        monkeypatch.setattr(owner, name, ends(name, getattr(owner, name)))
    wanted = topics(settings.names, CONFIG.sources, CONFIG.targets)
    for fatal[0] in count():
        steps.clear()
        try:
            await change(settings)
            break
        except Killed:
            last = (await partition_counts(settings.kafka, [settings.names.dead_letters])).popitem()[1]
            if last == AFTER:  # services may start
                assert not (await look(settings, CONFIG, AFTER, progress=lambda *_: None)).needed
            for partitions in {BEFORE, AFTER} - ({AFTER} if last == AFTER else set()):
                with pytest.raises(Fatal, match="partitions where SYNCLINE_PARTITIONS says"):
                    await check_topics(settings.kafka, wanted, partitions=partitions)
    assert fatal[0] >= 6
    await check_topics(settings.kafka, wanted, partitions=AFTER)
    monkeypatch.undo()
    await check(settings)
    assert not (await look(settings, CONFIG, AFTER, progress=lambda *_: None)).needed
    async with connect(settings.database_url.get_secret_value(), application="test", size=1) as pool:
        assert await FormerCounts(pool).all() == [BEFORE]


async def test_rows_come_back_to_where_they_lay_and_what_a_mapper_wrote_since_stays(settings: Settings) -> None:
    """2, 3 and 4 partitions: many a row goes away and returns, past the tombstone that it left."""
    await fill(settings)
    await change(settings)
    await change(settings, 4)
    await check(settings, 4)
    names, row = settings.names, REFS[5].encode()
    home = partition_of(b"5", 4)
    async with publisher(settings.kafka, "test") as out:  # a stray copy, and where it belongs a newer row
        await out.place([Placed(names.changelog("records"), (home + 1) % 4, row, b"stray")])
    await change(settings, 4)
    await check(settings, 4)


async def test_who_was_held_out_of_sight_of_a_synced_parent_goes_on(settings: Settings) -> None:
    """Somebody added partitions, and a mapper that had only new ones held a child there."""
    names = settings.names
    wanted = [topic.name for topic in topics(names, CONFIG.sources, CONFIG.targets)]
    await fill(settings)
    await add_partitions(settings.kafka, wanted, AFTER)
    refs = [ref for ref in REFS[:3] if partition_of(ref.encode(), AFTER) != partition_of(ref.encode(), BEFORE)]
    wait = f"{refs[0]}>hub/company\0"
    child = f"{wait}salesforce/Contact/7\0contact-to-customer\0company_id"
    log, number = names.changelog("held"), partition_of(refs[0].encode(), AFTER)
    async with publisher(settings.kafka, "test") as out:
        await out.forward([(wait.encode(), b"{}"), (child.encode(), b"head\nmapped\ncommand")], log, number)
    await change(settings)
    await check(settings)
    sent = (await read(settings, names.mapped))[number]
    assert [(each.key, each.value) for each in sent] == [(refs[0].encode(), b"mapped\ncommand")]


async def test_it_waits_for_nobody_and_takes_nothing_away(settings: Settings) -> None:
    await change(settings)
    with pytest.raises(Refused, match=f"has {AFTER} partitions, and Kafka takes none away: {AFTER} is the least"):
        await look(settings, CONFIG, BEFORE, progress=lambda *_: None)
    found = await look(settings, CONFIG, AFTER, progress=lambda *_: None)
    assert not found.needed
    running = dataclasses.replace(found, members={settings.names.writer: 2})
    with pytest.raises(Refused, match=rf"services run, as members of {settings.names.writer} \(2\)"):
        await carry_out(running, settings, CONFIG, progress=lambda *_: None, say=lambda _: None)
    counts = await partition_counts(settings.kafka, [settings.names.dead_letters])
    assert counts == {settings.names.dead_letters: AFTER}
