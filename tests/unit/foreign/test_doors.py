"""The mapper's door: what it forwards, under which key, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from services.mapper.doors import Doors
from syncline.config.load import parse
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Fatal
from syncline.contracts.foreign.door import Message
from syncline.contracts.ref import Object
from syncline.contracts.topics import MESSAGE_BYTES, Names
from syncline.runtime.kafka import Message as Sent
from tests.unit.config.test_load import told
from tests.unit.config.world import line
from tests.unit.foreign.samples import DELETE, TOMBSTONE, UPDATE, WITH_SCHEMA, structured

STREAMS = """\
systems:
  shop:
    kind: stream
    instance: main
    objects:
      customer: {topic: dbserver.public.customers, format: debezium}
      visit: {topic: visits, format: cloudevents, key: number, ops: {com.acme.visit: create}}
      unread: {topic: unread, format: debezium}
  hub:
    kind: postgres
    url: postgresql://db/hub
    objects:
      person: {table: hub.people, counterpart: {shop: shop_id}}
      visit: {table: hub.visits}
pipelines:
  people:
    from: shop.customer
    to: hub.person
    where: {vip: true}
    fields: {name: first_name, mail: email}
  visits:
    from: shop.visit
    to: hub.visit
    fields: {city: place.city}
"""
NAMES = Names("test")


def config() -> Config:
    return parse(STREAMS, name="p.yaml", environ={})


def sent(topic: str, messages: Iterable[Message]) -> tuple[list[Sent], Doors]:
    doors = Doors(config().doors, NAMES)
    records = [
        SimpleNamespace(topic=topic, partition=2, offset=at, key=each.key, value=each.value, headers=each.headers)
        for at, each in enumerate(messages)
    ]
    return list(doors.messages(records)), doors


def test_a_door_reads_what_the_pipelines_read() -> None:
    doors = config().doors
    assert list(doors) == ["dbserver.public.customers", "visits"]
    assert doors["dbserver.public.customers"].fields == frozenset({"vip", "first_name", "email"})
    assert (doors["visits"].key, doors["visits"].ops) == (("number",), {"com.acme.visit": "create"})
    assert config().polled == []
    assert config().sources == [Object("shop", "customer"), Object("shop", "visit")]


def test_changes_go_on_under_the_records_id_in_their_order() -> None:
    messages, doors = sent("dbserver.public.customers", [WITH_SCHEMA, UPDATE, DELETE, TOMBSTONE])
    assert {(each.topic, each.key) for each in messages} == {("test.changes.shop.customer", b"1001")}
    assert [Change.decode(each.value).op for each in messages] == ["create", "update", "delete"]
    assert doors.counts == {"forwarded": 3, "tombstone": 1}


def test_what_cannot_be_read_becomes_a_dead_letter_and_its_neighbours_go_on() -> None:
    messages, doors = sent("dbserver.public.customers", [UPDATE, Message(b"k", b"no json"), UPDATE])
    letter = DeadLetter.decode(messages[1].value)
    assert messages[1].topic == "test.dead-letters"
    assert (letter.stage, letter.code, letter.position) == ("mapper", "MALFORMED", "dbserver.public.customers/2/1")
    assert letter.input == b"no json"
    assert "not JSON" in letter.message
    assert letter.remedy
    assert doors.counts == {"forwarded": 2, "rejected": 1}


def test_an_event_of_megabytes_gives_a_dead_letter_that_a_topic_takes() -> None:
    huge = "x" * MESSAGE_BYTES
    for event in (structured(data={"op": huge}), structured(type=huge), structured(**{huge: 1}, time=huge)):
        ((sent_,), _) = sent("visits", [event])
        assert len(sent_.key) + len(sent_.value) < 10_000
        assert DeadLetter.decode(sent_.value).input is None


def test_a_topic_of_our_own_would_feed_itself() -> None:
    with pytest.raises(Fatal, match="visits is a topic of Syncline's own"):
        Doors(config().doors, NAMES, own={"visits", "test.results"})


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("to: hub.visit", "to: shop.unread", "pipelines.visits.to", "shop is a stream, which is only read"),
        ("from: shop.visit", "from: shop.order", "pipelines.visits.from", "systems.shop has no object 'order'"),
        (
            "topic: unread, format: debezium",
            "topic: visits, format: debezium",
            "systems.shop.objects.unread.topic",
            "shop.visit has this topic already",
        ),
        (
            "topic: unread, format: debezium",
            "topic: unread, format: debezium, ops: {x: create}",
            "systems.shop.stream.objects.unread.ops",
            "belongs to cloudevents; Debezium says itself what happened",
        ),
    ],
)
def test_what_a_stream_cannot_be_is_told_with_its_line(old: str, new: str, place: str, what: str) -> None:
    text = STREAMS.replace(old, new, 1)
    expected = [f"p.yaml:{line(text, new)}: {place}: {what}"]
    assert [fault for fault in told(text) if place in fault][:1] == expected
