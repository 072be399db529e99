"""What a person decides on the command line: it changes the links and the list, and asks the services for the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from click.testing import CliRunner, Result

from syncline.cli.main import cli
from syncline.config.settings import Settings
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import topics
from syncline.runtime.admin import create_topics
from syncline.runtime.scan import scan
from syncline.state.conflicts import Conflicts
from syncline.state.database import connect, migrate
from syncline.state.deletions import Deletions
from syncline.state.links import Links
from tests.conftest import FreshDatabase
from tests.unit.timeline import world
from tests.unit.timeline.world import CONTACT, CUSTOMER, PIPELINES

PARTITIONS = 2
CONFIG = world.config()
PHONE = Conflict(
    pipeline="contact-to-customer",
    source=CONTACT,
    target=CUSTOMER,
    field="phone",
    agreed="1",
    incoming="sf",
    present=None,
    decided="review",
    version="v2",
    inputs=("Phone",),
)
DISPUTED = Link(
    Side(CONTACT, "v2", {"Phone": "sf", "Title": "Dr"}, ("Phone", "Title")),
    Side(CUSTOMER, "8", {"phone": "1", "title": "Prof"}, ("phone", "title")),
)


def other_than(ref: Ref) -> Ref:
    return ref._replace(id=f"{ref.id}2")


async def _migrated(url: str) -> None:
    async with connect(url, application="test") as pool:
        await migrate(pool)


@dataclass
class Desk:
    """pool: of the state schema."""

    settings: Settings
    environ: dict[str, str]
    pool: Any

    async def say(self, *words: str) -> Result:
        done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=self.environ)
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return done

    async def conflicts(self, *options: str) -> list[dict[str, Any]]:
        done = await self.say("conflicts", "list", "--json", *options)
        assert done.exit_code == 0, done.output
        listed: list[dict[str, Any]] = json.loads(done.stdout)["conflicts"]
        return listed

    async def dispute(self, *conflicts: Conflict, link: Link | None = DISPUTED) -> None:
        if link:
            assert await Links(self.pool).save([link]) == [True]
        for conflict in conflicts:  # one by one, so that their numbers are in this order
            await Conflicts(self.pool).record([conflict])

    async def link(self) -> Link:
        asked = (CONTACT, CUSTOMER.kind)
        return replace((await Links(self.pool).find([asked]))[asked], id=0, revision=0)

    async def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka.servers, group_id=None)
        await consumer.start()
        try:
            everything = {topic: range(PARTITIONS)}
            found = await scan(consumer, everything, lambda _: True, since=None, progress=lambda *_: None)
        finally:
            await consumer.stop()
        return [(each.key, each.value) for each in found]

    async def requests(self) -> list[Ref]:
        found = await self.published(self.settings.names.requests)
        refs = [Request.decode(value).ref for _, value in found]
        assert [key for key, _ in found] == [str(ref).encode() for ref in refs]
        return refs


@pytest.fixture
async def desk(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[Desk]:
    pipelines = tmp_path / "pipelines.yaml"
    pipelines.write_text(PIPELINES)
    async with fresh_database(_migrated) as url, connect(url, application="test", size=1) as pool:
        environ = {
            "SYNCLINE_KAFKA": kafka_address,
            "SYNCLINE_DATABASE_URL": url,
            "SYNCLINE_PREFIX": topic_prefix.rstrip("."),
            "SYNCLINE_PARTITIONS": str(PARTITIONS),
            "SYNCLINE_PIPELINES": str(pipelines),
            "COLUMNS": "200",
        }
        settings = Settings.read(environ)
        wanted = topics(settings.names, CONFIG.sources, CONFIG.targets)
        await create_topics(kafka_address, wanted, partitions=PARTITIONS, replication=1)
        yield Desk(settings, environ, pool)


async def test_only_what_a_person_has_to_decide_is_listed_as_waiting(desk: Desk) -> None:
    assert (await desk.say("conflicts", "list", "--waiting")).output == "no conflict waits for a person\n"
    settled = replace(PHONE, field="title", decided="incoming")
    bounced = replace(PHONE, field="first_name, last_name", decided="paused", incoming=20, agreed=None)
    await desk.dispute(settled, PHONE, bounced)
    assert [each["field"] for each in await desk.conflicts()] == [bounced.field, "phone", "title"]
    waiting = await desk.conflicts("--waiting")
    assert [each["decided"] for each in waiting] == ["paused", "review"]
    assert {name: waiting[1][name] for name in ("source", "target", "agreed", "incoming", "present", "resolved")} == {
        "source": str(CONTACT),
        "target": str(CUSTOMER),
        "agreed": "1",
        "incoming": "sf",
        "present": None,
        "resolved": None,
    }
    assert len(await desk.conflicts("--waiting", "--limit", "1")) == 1


@pytest.mark.parametrize(("winner", "asked"), [("salesforce", CONTACT), ("hub", CUSTOMER)])
async def test_the_winners_record_is_asked_for_and_the_field_is_free(desk: Desk, winner: str, asked: Ref) -> None:
    await desk.dispute(PHONE)
    [waiting] = await desk.conflicts("--waiting")
    done = await desk.say("conflicts", "resolve", str(waiting["id"]), "--keep", winner)
    assert (done.exit_code, done.output) == (0, f"{winner} wins; its value is on its way\n")
    assert await desk.requests() == [asked]
    link = await desk.link()
    assert (link.source.review, link.target.review) == (("Title",), ("title",))
    assert (link.source.known["Title"], link.target.known["title"]) == ("Dr", "Prof")
    # The winner's value now counts as changed, the loser's does not.
    changed = {"salesforce": link.source.known.get("Phone") != "sf", "hub": link.target.known.get("phone") is not None}
    assert changed == {"salesforce": winner == "salesforce", "hub": winner == "hub"}
    assert await desk.conflicts("--waiting") == []
    [recorded] = await desk.conflicts()
    assert (recorded["decided"], recorded["resolved"]) == ("review", winner)
    assert f"review, then {winner}" in (await desk.say("conflicts", "list")).output


async def test_a_decision_that_cannot_be_made_says_why_and_changes_nothing(desk: Desk) -> None:
    await desk.dispute(replace(PHONE, field="title", decided="present", inputs=("Title",)), PHONE)
    phone, title = (str(each["id"]) for each in await desk.conflicts())
    for words, why in (
        ((title, "--keep", "hub"), f"conflict {title} does not wait: present was decided"),
        ((phone, "--keep", "sap"), "--keep must be one of salesforce, hub, not sap"),
        (("4711", "--keep", "hub"), "there is no conflict 4711: see `syncline conflicts list`"),
    ):
        refused = await desk.say("conflicts", "resolve", *words)
        assert (refused.exit_code, refused.stderr) == (1, f"Error: {why}\n")
    assert (await desk.say("conflicts", "resolve", phone)).exit_code == 2
    assert await desk.link() == DISPUTED
    assert len(await desk.conflicts("--waiting")) == 1
    assert (await desk.say("conflicts", "resolve", phone, "--keep", "hub")).exit_code == 0
    again = await desk.say("conflicts", "resolve", phone, "--keep", "salesforce")
    assert again.stderr == f"Error: conflict {phone} does not wait: hub was decided\n"
    assert await desk.requests() == [CUSTOMER]


async def test_one_decision_is_enough_for_a_field_that_was_found_in_conflict_several_times(desk: Desk) -> None:
    later = replace(PHONE, present="found again after a crash")
    back = replace(
        PHONE, pipeline="customer-to-contact", source=CUSTOMER, target=CONTACT, field="Phone", inputs=("phone",)
    )
    title = replace(PHONE, field="title", inputs=("Title",))
    other = replace(PHONE, source=other_than(CONTACT), target=other_than(CUSTOMER))
    await desk.dispute(PHONE, later, back, title, other)
    first = (await desk.conflicts())[-1]["id"]
    assert (await desk.say("conflicts", "resolve", str(first), "--keep", "hub")).exit_code == 0
    waiting = await desk.conflicts("--waiting")
    assert [(each["field"], each["source"]) for each in waiting] == [
        ("phone", str(other.source)),
        ("title", str(CONTACT)),
    ]


async def test_a_paused_pair_goes_on(desk: Desk) -> None:
    link = replace(DISPUTED, paused=True, bounces=20, bounced_to="hub", bounced_at="2026-11-21T10:00:00+00:00")
    await desk.dispute(replace(PHONE, field="phone, title", decided="paused", inputs=()), link=link)
    [waiting] = await desk.conflicts("--waiting")
    assert (await desk.say("conflicts", "resolve", str(waiting["id"]), "--keep", "hub")).exit_code == 0
    assert await desk.link() == DISPUTED
    assert await desk.requests() == [CUSTOMER]
    assert await desk.conflicts("--waiting") == []


@pytest.mark.parametrize(
    "link",
    [
        None,
        replace(DISPUTED, ended="unlinked", ended_by="hub"),
        replace(DISPUTED, target=replace(DISPUTED.target, ref=other_than(CUSTOMER))),
    ],
    ids=["not linked", "ended", "linked to another"],
)
async def test_a_conflict_of_two_that_are_no_pair_any_more_is_only_taken_off_the_list(
    desk: Desk, link: Link | None
) -> None:
    await desk.dispute(PHONE, link=link)
    [waiting] = await desk.conflicts("--waiting")
    done = await desk.say("conflicts", "resolve", str(waiting["id"]), "--keep", "hub")
    assert (done.exit_code, "no pair any more" in done.output) == (0, True)
    assert await desk.requests() == []
    assert await desk.conflicts("--waiting") == []
    if link:
        asked = (CONTACT, CUSTOMER.kind)
        assert replace((await Links(desk.pool).find([asked]))[asked], id=0, revision=0) == link


def deletions(count: int, *, pipeline: str = "contact-to-customer") -> list[Command]:
    return [
        world.command(
            CONTACT._replace(id=f"003{n}"),
            pipeline=pipeline,
            op="delete",
            fields={},
            seen={},
            inputs={},
            on_delete="delete",
            delete_limit=1,
        )
        for n in range(count)
    ]


async def test_deletions_that_wait_are_listed_and_sent_when_a_person_approves(desk: Desk) -> None:
    assert (await desk.say("deletions", "list")).output == "no deletion waits\n"
    assert json.loads((await desk.say("deletions", "list", "--json")).stdout) == {"stopped": []}
    waiting, other = deletions(3), deletions(2, pipeline="customer-to-contact")
    state = Deletions(desk.pool)
    assert not any(await state.claim([*waiting, *other]))
    listed = json.loads((await desk.say("deletions", "list", "--json")).stdout)["stopped"]
    assert [(each["pipeline"], each["state"], each["deletions"]) for each in listed] == [
        ("contact-to-customer", "waiting", 3),
        ("customer-to-contact", "waiting", 2),
    ]
    people = (await desk.say("deletions", "list")).output.splitlines()
    assert people[0].startswith("contact-to-customer: 3 waiting for a person, since 2")

    done = await desk.say("deletions", "approve", "contact-to-customer")
    assert (done.exit_code, done.output) == (0, "contact-to-customer: 3 approved and on the way\n")
    sent = await desk.published(desk.settings.names.commands("hub"))
    assert sorted((Command.decode(value) for _, value in sent), key=lambda each: each.source) == waiting
    assert all(await state.claim(waiting))
    done = await desk.say("deletions", "approve", "contact-to-customer")
    assert (done.exit_code, done.output) == (0, "no deletion of contact-to-customer waits\n")
    [left] = json.loads((await desk.say("deletions", "list", "--json")).stdout)["stopped"]
    assert left["pipeline"] == "customer-to-contact"


async def test_deletions_that_a_person_refuses_are_never_sent(desk: Desk) -> None:
    waiting, state = deletions(2), Deletions(desk.pool)
    assert not any(await state.claim(waiting))
    done = await desk.say("deletions", "refuse", "contact-to-customer")
    assert (done.exit_code, done.output) == (0, "contact-to-customer: 2 refused\n")
    assert not any(await state.claim(waiting))
    assert (await desk.say("deletions", "approve", "contact-to-customer")).output.startswith("no deletion")
    assert await desk.published(desk.settings.names.commands("hub")) == []


async def test_deletions_that_others_refer_to_are_told_as_blocked(desk: Desk) -> None:
    [command] = deletions(1)
    state = Deletions(desk.pool)
    assert await state.claim([command]) == [True]
    await state.block([command])
    told = (await desk.say("deletions", "list")).output
    assert told.startswith("contact-to-customer: 1 blocked by rows that still refer to the record, since 2")
