"""Debezium's change events as its connectors write them by the JSON converter, with or without schemas.

Shapes are those of the PostgreSQL connector ("Data change events", "Data type mappings" in its documentation); other
connectors differ in `source` alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from syncline.contracts import codec
from syncline.contracts.change import Change, Op
from syncline.contracts.errors import RecordRejected
from syncline.contracts.foreign import connect
from syncline.contracts.foreign.door import Door, Message, refusal
from syncline.contracts.foreign.values import DIGITS, MISSING, at, record_id, since_epoch
from syncline.contracts.ref import Fields, Ref

OPS: dict[str, Op] = {"c": "create", "u": "update", "d": "delete", "r": "snapshot"}
PLACEHOLDER = "__debezium_unavailable_value"
UNAVAILABLE = (
    PLACEHOLDER,
    base64.b64encode(PLACEHOLDER.encode()).decode(),
    [PLACEHOLDER],
    {PLACEHOLDER: PLACEHOLDER},
)
"""What stands for a large value that the change did not touch, in a text, binary, array and hstore column."""

ENVELOPE = (
    "Let the connector write the whole envelope by org.apache.kafka.connect.json.JsonConverter; leave out the "
    "transformation ExtractNewRecordState."
)
KEY = (
    "Let the connector write the table's primary key as JSON into the message key, or name the columns that hold the "
    "id under `key` in pipelines.yaml."
)
SOURCE = "Leave `source` as the connector writes it; it puts the changes into order."
TRUNCATE = (
    "Nothing was changed in the targets. Delete the rows by DELETE, or set the connector's skipped.operations to "
    "`t` and delete them in the targets by hand."
)


def read(door: Door, message: Message) -> Change | None:
    """None is the tombstone that follows a deletion. Raises RecordRejected."""
    if message.value is None:
        return None
    schema, payload = _unwrapped(_decoded(message.value))
    if payload is None:
        return None
    if not isinstance(payload, dict) or not isinstance(payload.get("source"), dict) or "op" not in payload:
        raise refusal("not a Debezium envelope: op and source are missing", ENVELOPE, "op", "source")
    op = _op(payload["op"])
    side = "before" if op == "delete" else "after"
    types = connect.columns(schema, side)
    row = payload.get(side)
    if not isinstance(row, dict) and (op != "delete" or row is not None):
        raise refusal(f"{side} must be an object, not {type(row).__name__}", ENVELOPE, side)
    source = payload["source"]
    fields, partial = ({}, False) if op == "delete" else _fields(door, row or {}, types)
    ticks = _ticks(source)
    return Change(
        ref=Ref(*door.kind, _id(door, message.key, row or {}, types)),
        instance=door.instance,
        op=op,
        version=_version(source, ticks),
        time=since_epoch(ticks, "source.ts_ms", SOURCE),
        fields=fields,
        complete=not partial,
    )


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        return codec.decode(raw)
    except RecordRejected as error:
        raise refusal(str(error), ENVELOPE) from error


def _unwrapped(document: dict[str, Any]) -> tuple[Any, Any]:
    """Schema and payload; a converter without schemas writes the payload alone."""
    if document.keys() == {"schema", "payload"}:
        return document["schema"], document["payload"]
    return None, document


def _op(letter: Any) -> Op:
    if isinstance(letter, str) and letter in OPS:
        return OPS[letter]
    if letter == "t":
        raise refusal("the table was truncated, which names no records", TRUNCATE, "op", code="UNSUPPORTED")
    raise refusal(f"op {letter!r:.40} cannot be read, only {', '.join(OPS)}", ENVELOPE, "op", code="UNSUPPORTED")


def _fields(door: Door, row: Mapping[str, Any], types: connect.Columns) -> tuple[Fields, bool]:
    """The columns that are wanted, and whether one of them was left out by the connector. Columns that no field can
    hold (arrays, structures) only matter where a pipeline reads them."""
    fields: Fields = {}
    partial = False
    for name in row.keys() if door.fields is None else door.fields:
        value = at(row, name)
        if value is MISSING:
            continue
        if value in UNAVAILABLE:
            partial = True
            continue
        try:
            fields[name] = connect.plain(value, types.get(name), f"after.{name}")
        except RecordRejected:
            if door.fields is not None:
                raise
    codec.check_fields(fields, "after")
    if not fields and not partial:
        wanted = ", ".join(sorted(door.fields or ())) or "readable columns"
        remedy = "Correct the names in pipelines.yaml, or let the connector include these columns."
        raise refusal(f"after has none of {wanted:.200}", remedy, "after")
    return fields, partial


def _id(door: Door, key: bytes | None, row: Mapping[str, Any], types: connect.Columns) -> str:
    """By the columns that are named, else by the message's key, which is the table's primary key."""
    if door.key and all(at(row, name) is not MISSING for name in door.key):
        return record_id([(name, _plain_key(at(row, name), types.get(name), name)) for name in door.key], KEY)
    if key is None:
        raise refusal("the message has no key", KEY, "key")
    try:
        document = orjson.loads(key)
    except orjson.JSONDecodeError:
        raise refusal("the message's key is not JSON", KEY, "key") from None
    schema, payload = _unwrapped(document) if isinstance(document, dict) else (None, document)
    if not isinstance(payload, dict):
        return record_id([("key", payload)], KEY)
    columns = connect.of(schema)
    parts = [(name, payload.get(name, MISSING)) for name in door.key] or list(payload.items())
    if not parts:
        raise refusal("the message's key is empty", KEY, "key")
    return record_id([(f"key.{name}", _plain_key(value, columns.get(name), name)) for name, value in parts], KEY)


def _plain_key(value: Any, column: connect.Column | None, name: str) -> Any:
    return value if value is MISSING else connect.plain(value, column, f"key.{name}")


def _ticks(source: Mapping[str, Any]) -> int:
    """When the source committed the change, in microseconds."""
    for name, factor in (("ts_us", 1), ("ts_ms", 1000)):
        value = source.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value * factor
    raise refusal("source.ts_ms is missing", SOURCE, "source.ts_ms")


def _version(source: Mapping[str, Any], ticks: int) -> str:
    """For PostgreSQL the position of the last commit before the change, `sequence[0]`, for this is what never falls
    along the stream. Positions of rows (`lsn`) do, where transactions overlap: a row of a snapshot may bear a higher
    one than a change that comes after it. What shares a version is ordered by arrival. Before the first commit, and in
    a first snapshot, there is only `lsn`. Other connectors' positions are no numbers: their time is taken.
    """
    number: Any = ticks
    if source.get("connector") == "postgresql":
        number = _last_commit(source.get("sequence"))
        if number is None:
            number = source.get("lsn")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise refusal("source has neither sequence nor lsn", SOURCE, "source.sequence", "source.lsn")
    return str(number).rjust(DIGITS, "0")


def _last_commit(sequence: Any) -> int | None:
    """`sequence` is JSON in a text, as `["24023119","24023128"]`: the last commit, and the change itself."""
    if not isinstance(sequence, str):
        return None
    try:
        positions = orjson.loads(sequence)
    except orjson.JSONDecodeError:
        positions = None
    first = positions[0] if isinstance(positions, list) and positions else MISSING
    if first is None:
        return None
    if isinstance(first, str) and first.isascii() and first.isdigit() and len(first) <= DIGITS:
        return int(first)
    raise refusal(f"source.sequence {sequence!r:.60} cannot be read", SOURCE, "source.sequence")
