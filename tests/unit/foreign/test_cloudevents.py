"""CloudEvents from Kafka in both modes become the same change."""

from __future__ import annotations

import base64
import re
from typing import Any

import orjson
import pytest

from syncline.contracts.change import Change
from syncline.contracts.errors import RecordRejected
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from syncline.contracts.ref import Ref
from syncline.contracts.topics import EVENT_BYTES
from tests.unit.foreign.samples import EVENT, STRUCTURED_HEADERS, binary, cloudevents, structured

OWN = {"com.acme.customer.changed": "update", "com.acme.customer.removed": "delete"}
RECORD = {"name": "Sally", "address": {"city": "Oslo"}, "orders": [1, 2], "no": 17}


def change(message: Message, door: Door | None = None) -> Change:
    found = read(door or cloudevents(), message)
    assert found is not None
    assert Change.decode(found[1]) == found[0]
    return found[0]


def refused(message: Message, door: Door | None = None) -> RecordRejected:
    with pytest.raises(RecordRejected) as caught:
        read(door or cloudevents(), message)
    assert caught.value.remedy
    return caught.value


EXPECTED = Change(
    ref=Ref("shop", "customer", "c-17"),
    instance="main",
    op="update",
    version="7".rjust(20, "0"),
    time="2026-01-31T12:00:00.500000Z",
    fields={"name": "Sally", "email": None},
    complete=False,
)


@pytest.mark.parametrize(
    "message",
    [
        structured(),
        Message(None, orjson.dumps(EVENT)),
        Message(None, orjson.dumps(EVENT), [("Content-Type", b"Application/CloudEvents+JSON")]),
        structured(data=..., data_base64=base64.b64encode(orjson.dumps(EVENT["data"])).decode()),
        binary(),
        binary(datacontenttype=...),
        Message(None, orjson.dumps(EVENT), [*STRUCTURED_HEADERS, ("ce_specversion", b"1.0"), ("trace", None)]),
    ],
)
def test_both_modes_give_the_same_change(message: Message) -> None:
    assert change(message) == EXPECTED


def test_our_own_change_event_is_such_an_event() -> None:
    assert change(Message(b"k", EXPECTED.encode())) == EXPECTED


def test_absent_and_null_stay_apart() -> None:
    found = change(structured(data={"op": "update", "complete": True, "fields": {"email": None}}))
    assert found.fields == {"email": None}


def test_the_version_is_the_producers_own_else_the_sequence_else_the_time() -> None:
    bare = {"op": "update", "complete": True, "fields": {"name": "S"}}
    assert change(structured(data={**bare, "version": "v2"}, sequence="5")).version == "v2"
    assert change(structured(data=bare, sequence="5")).version == "5".rjust(20, "0")
    assert change(structured(data=bare, sequence=5)).version == "5".rjust(20, "0")
    assert change(binary(bare, sequence="5")).version == "5".rjust(20, "0")
    assert change(structured(data=bare)).version == "2026-01-31T12:00:00.500000Z"


def test_versions_sort_as_text() -> None:
    times = ["2026-01-31T12:00:00Z", "2026-01-31t13:00:00.25+01:00", "2026-01-31T12:00:00.5Z", "2026-01-31T12:00:01z"]
    bare = {"op": "update", "complete": True, "fields": {"name": "S"}}
    by_time = [change(structured(data=bare, time=time)).version for time in times]
    by_number = [change(structured(data={**bare, "version": str(at)})).version for at in (9, 10, 101, 2**64)]
    assert by_time == sorted(set(by_time))
    assert by_number == sorted(set(by_number))


@pytest.mark.parametrize("data", [{"op": "delete"}, {"op": "delete", "fields": {}, "complete": True}])
def test_a_deletion_needs_no_fields(data: Any) -> None:
    for message in (structured(data=data), binary(data)):
        found = change(message)
        assert (found.op, found.fields, found.complete) == ("delete", {}, True)


@pytest.mark.parametrize("mode", [structured, binary])
def test_a_type_that_the_configuration_names_holds_the_record_itself(mode: Any) -> None:
    found = change(mode(data=RECORD, type="com.acme.customer.changed"), cloudevents(ops=OWN, key=("no",)))
    assert (found.op, found.complete, found.ref.id) == ("update", True, "17")
    assert found.fields == {"name": "Sally", "address.city": "Oslo"}
    gone = change(mode(data=..., type="com.acme.customer.removed"), cloudevents(ops=OWN, key=("no",)))
    assert (gone.op, gone.ref.id, gone.fields) == ("delete", "c-17", {})


def test_what_lies_below_a_null_is_null() -> None:
    door = cloudevents(ops=OWN)
    found = change(structured(data={"address": None}, type="com.acme.customer.changed"), door)
    assert found.fields == {"address.city": None}


def test_a_tombstone_says_nothing() -> None:
    assert read(cloudevents(), Message(b"c-17", None)) is None
    assert read(cloudevents(), Message(b"c-17", None, STRUCTURED_HEADERS)) is None


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Message(None, b""), "not JSON"),
        (Message(None, b"[]"), "a JSON object is expected"),
        (structured(specversion="0.3"), "specversion is '0.3'"),
        (structured(specversion=...), "specversion is None"),
        (structured(id=...), "id is missing"),
        (structured(source=""), "source must not be empty"),
        (structured(type="com.acme.other"), "type 'com.acme.other' is none of syncline.change.v1"),
        (structured(subject=...), "the record's id must be text or a whole number, subject is missing"),
        (structured(subject="x" * 256), "1 to 255 characters"),
        (structured(subject="a\0"), r"U\+0000"),
        (structured(time=...), "time is missing"),
        (structured(time="yesterday"), "time must be a time with its offset"),
        (structured(time="2026-01-31T12:00:00"), "time must be a time with its offset"),
        (structured(time="2026-02-30T12:00:00Z"), "time must be a time with its offset"),
        (structured(time="0001-01-01T00:00:00+23:59"), "time must be a time with its offset"),
        (structured(datacontenttype="text/xml"), "data of 'text/xml' cannot be read"),
        (binary(datacontenttype="application/avro"), "data of 'application/avro' cannot be read"),
        (structured(data=...), "data must be a JSON object, it is missing"),
        (binary(...), "data must be a JSON object, it is missing"),
        (structured(data_base64="e30="), "either data or data_base64"),
        (structured(data=..., data_base64="?"), "data_base64 is not base64"),
        (structured(data={"op": "merge"}), r"data\.op must be one of create"),
        (structured(data={"op": "update", "fields": {}}), r"data\.complete is missing"),
        (structured(data={"op": "update", "complete": True}), r"data\.fields is missing"),
        (
            structured(data={"op": "update", "complete": True, "fields": {"name": {"first": "S"}}}),
            r"data\.fields\.name must be text",
        ),
        (structured(data={"op": "update", "complete": True, "fields": {}, "version": ""}), "the version must have"),
        (structured(data={"op": "update", "complete": True, "fields": {}}, sequence=True), "sequence must be text"),
        (
            Message(None, b"{}", [("content-type", b"application/cloudevents+avro")]),
            r"\+avro cannot be read",
        ),
        (Message(None, b"{}", [("Content-Type", b"application/cloudevents+avro")]), r"\+avro cannot be read"),
        (Message(None, b"[]", [("content-type", b"application/cloudevents-batch+json")]), "batch.json cannot be read"),
        (Message(None, b"{}", [("ce_specversion", b"\xff")]), "is not UTF-8 text"),
        (Message(None, b"{", binary().headers), "data is not JSON"),
    ],
)
def test_what_is_wrong_is_told_by_name(message: Message, complaint: str) -> None:
    assert re.search(complaint, str(refused(message)))


def test_an_event_that_no_message_could_carry_further_is_refused() -> None:
    large = {"op": "update", "complete": True, "fields": {"name": "x" * EVENT_BYTES}}
    error = refused(structured(data=large))
    assert (error.code, error.fields) == ("EVENT_TOO_LARGE", ("name",))
