"""What a Debezium connector for PostgreSQL writes becomes the same change, with and without schemas."""

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
from tests.unit.foreign.samples import (
    DELETE,
    KEY,
    ROW,
    SNAPSHOT,
    TOMBSTONE,
    TRUNCATE,
    UPDATE,
    WITH_SCHEMA,
    debezium,
    envelope,
    payload,
)


def change(message: Message, door: Door | None = None) -> Change:
    found = read(door or debezium(), message)
    assert found is not None
    assert Change.decode(found[1]) == found[0]
    return found[0]


def refused(message: Message, door: Door | None = None) -> RecordRejected:
    with pytest.raises(RecordRejected) as caught:
        read(door or debezium(), message)
    assert str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_a_created_row_with_its_schema_is_a_whole_record_of_plain_values() -> None:
    assert change(WITH_SCHEMA) == Change(
        ref=Ref("shop", "customer", "1001"),
        instance="main",
        op="create",
        version="00000000000034497640",
        time="2026-01-31T12:00:00.500321Z",
        fields={
            "first_name": "Sally",
            "email": "sally@acme.example",
            "birthday": "1990-01-01",
            "balance": 123.45,
            "notes": None,
            "vip": True,
            "created_at": "2026-01-31T12:00:00.123456Z",
            "seen_at": "2026-01-31T12:00:00.123",
        },
    )


def test_without_a_schema_values_are_taken_as_they_come() -> None:
    found = change(envelope("c"))
    assert found.fields == {name: ROW[name] for name in debezium().fields or ()}
    assert (found.ref, found.version, found.op) == (Ref("shop", "customer", "1001"), "0" * 12 + "34497640", "create")


def test_an_unavailable_value_is_absent_and_an_empty_one_is_null() -> None:
    found = change(UPDATE)
    assert "notes" not in found.fields
    assert found.fields["email"] is None
    assert (found.op, found.complete) == ("update", False)


@pytest.mark.parametrize(
    "stands",
    [
        "__debezium_unavailable_value",
        "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
        ["__debezium_unavailable_value"],
        {"__debezium_unavailable_value": "__debezium_unavailable_value"},
    ],
)
def test_every_form_of_the_placeholder_is_known(stands: Any) -> None:
    found = change(envelope("u", after={**ROW, "notes": stands}))
    assert "notes" not in found.fields
    assert not found.complete


def test_a_record_stays_whole_when_only_columns_that_nobody_reads_are_unavailable() -> None:
    found = change(UPDATE, debezium(fields=frozenset({"first_name"})))
    assert (found.complete, found.fields) == (True, {"first_name": "Sally"})


def test_a_deletion_names_the_record_and_its_tombstone_says_nothing() -> None:
    found = change(DELETE)
    assert (found.op, found.ref.id, found.fields, found.complete) == ("delete", "1001", {}, True)
    assert read(debezium(), TOMBSTONE) is None
    assert read(debezium(), Message(KEY, b'{"schema":null,"payload":null}')) is None


def test_a_snapshot_row_is_older_than_every_later_change() -> None:
    found = change(SNAPSHOT)
    assert (found.op, found.version) == ("snapshot", "0" * 12 + "34496000")
    assert found.version < change(UPDATE).version


def test_a_change_of_an_overlapping_transaction_is_not_older_than_a_snapshot_row_before_it() -> None:
    """The transaction wrote its row before others committed: its position is lower, it comes later all the same."""
    snapshot = change(envelope("r", snapshot="incremental", sequence='["500","480"]', lsn=480))
    late = change(envelope("u", sequence='["500","300"]', lsn=300))
    assert late.version >= snapshot.version


def test_positions_sort_as_text() -> None:
    versions = [change(envelope("u", sequence=f'["{at}","{at}"]')).version for at in (9, 10, 2**40, 2**63)]
    assert versions == sorted(versions)


def test_without_a_sequence_the_position_of_the_change_counts() -> None:
    assert change(envelope("u", sequence=None, lsn=24023128)).version == "0" * 12 + "24023128"


def test_other_connectors_are_ordered_by_time() -> None:
    found = change(envelope("u", connector="mysql", sequence=None, lsn=None, ts_us=None))
    assert found.version == str(1769860800500 * 1000).rjust(20, "0")
    assert found.time == "2026-01-31T12:00:00.500000Z"


def test_a_truncated_table_is_told_as_unsupported() -> None:
    error = refused(TRUNCATE)
    assert (error.code, error.fields) == ("UNSUPPORTED", ("op",))
    assert "truncated" in str(error)
    assert "skipped.operations" in error.remedy


@pytest.mark.parametrize(
    ("key", "named", "expected"),
    [
        (KEY, (), "1001"),
        (b"1001", (), "1001"),
        (b'"C-1"', (), "C-1"),
        (b'{"region":"eu/1","id":7}', (), "eu%2F1/7"),
        (None, ("id",), "1001"),
        (b"no json", ("id",), "1001"),
        (b'{"id":7}', ("first_name", "id"), "Sally/1001"),
    ],
)
def test_the_id_is_the_primary_key_or_the_named_columns(
    key: bytes | None, named: tuple[str, ...], expected: str
) -> None:
    assert change(Message(key, envelope("u").value), debezium(key=named)).ref.id == expected


def test_a_deletion_without_the_named_column_takes_it_from_the_key() -> None:
    message = Message(KEY, orjson.dumps(payload("d", after=None, before=None)))
    assert change(message, debezium(key=("id",))).ref.id == "1001"


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Message(KEY, b"\x00\x00\x00\x00\x01avro"), "not JSON"),
        (Message(KEY, orjson.dumps(ROW)), "not a Debezium envelope"),
        (envelope("m"), "op 'm' cannot be read"),
        (envelope("u", after=None), "after must be an object, not NoneType"),
        (envelope("u", ts_ms=None, ts_us=None), r"source\.ts_ms is missing"),
        (envelope("u", ts_us=2**62), "no time between the years 1 and 9999"),
        (envelope("u", lsn=None, sequence=None), "neither sequence nor lsn"),
        (envelope("u", sequence='["x"]'), r"source\.sequence .* cannot be read"),
        (envelope("u", after={**ROW, "notes": ["a"]}), r"after\.notes is an array"),
        (envelope("u", after={**ROW, "notes": "a\0b"}), r"U\+0000"),
        (envelope("u", after={"id": 1}), "after has none of balance, birthday"),
        (Message(None, envelope("u").value), "the message has no key"),
        (Message(b"Struct{id=1}", envelope("u").value), "the message's key is not JSON"),
        (Message(b'{"id":null}', envelope("u").value), r"id must be text or a whole number, key\.id is None"),
        (Message(b'{"id":""}', envelope("u").value), "must be text"),
        (Message(b'{"id":1.5}', envelope("u").value), "must be text"),
        (Message(b"{}", envelope("u").value), "key is empty"),
        (Message(orjson.dumps("x" * 256), envelope("u").value), "1 to 255 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(message: Message, complaint: str) -> None:
    assert re.search(complaint, str(refused(message)))


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("io.debezium.time.Date", -1, "1969-12-31"),
        ("org.apache.kafka.connect.data.Timestamp", 1769860800500, "2026-01-31T12:00:00.500"),
        ("io.debezium.time.Timestamp", 0, "1970-01-01T00:00:00.000"),
        ("io.debezium.time.NanoTimestamp", 1769860800123456789, "2026-01-31T12:00:00.123"),
        ("io.debezium.time.MicroTime", 3_600_000_000, "01:00:00.000"),
        ("io.debezium.data.Json", '{"a": 1}', '{"a": 1}'),
        ("io.debezium.data.VariableScaleDecimal", {"scale": 3, "value": "AeJA"}, 123.456),
    ],
)
def test_logical_types_become_plain_values(type_: str, value: Any, expected: Any) -> None:
    assert change(typed(type_, value)).fields["notes"] == expected


def test_a_decimal_without_places_stays_a_whole_number() -> None:
    exact = 2**62 + 1
    encoded = base64.b64encode(exact.to_bytes(8, "big")).decode()
    found = change(typed("org.apache.kafka.connect.data.Decimal", encoded, {"scale": "0"}))
    assert found.fields["notes"] == exact


@pytest.mark.parametrize(
    ("type_", "value", "parameters"),
    [
        ("io.debezium.time.Date", 2**31, None),
        ("io.debezium.time.MicroTimestamp", 2**63 - 1, None),  # infinity
        ("io.debezium.time.Date", "tomorrow", None),
        ("org.apache.kafka.connect.data.Decimal", "MDk=", None),
        ("org.apache.kafka.connect.data.Decimal", "not base64", {"scale": "2"}),
        ("org.apache.kafka.connect.data.Decimal", "MDk=", {"scale": "99999999999"}),
        ("org.apache.kafka.connect.data.Decimal", base64.b64encode(b"\x7f" * 500_000).decode(), {"scale": "0"}),
        ("io.debezium.data.geometry.Point", {"x": 1, "y": 2}, None),
    ],
)
def test_a_value_that_no_field_can_hold_is_refused_where_a_pipeline_reads_it(
    type_: str, value: Any, parameters: Any
) -> None:
    error = refused(typed(type_, value, parameters))
    assert error.fields == ("after.notes",)
    assert "notes" not in change(typed(type_, value, parameters), debezium(fields=frozenset({"email"}))).fields
    assert "notes" not in change(typed(type_, value, parameters), debezium(fields=None)).fields


def typed(type_: str, value: Any, parameters: Any = None) -> Message:
    """The sample with its column `notes` of another type."""
    document = orjson.loads(WITH_SCHEMA.value or b"")
    for side in document["schema"]["fields"][:2]:
        for column in side["fields"]:
            if column["field"] == "notes":
                column.update({"name": type_, "parameters": parameters} if parameters else {"name": type_})
    document["payload"]["after"]["notes"] = value
    return Message(WITH_SCHEMA.key, orjson.dumps(document))
