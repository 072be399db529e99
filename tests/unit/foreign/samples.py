"""Messages as a Debezium PostgreSQL connector and a CloudEvents producer write them, one change of each.

`debezium_create.json` and its key are whole, with schemas; the others are what the converter writes without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.ref import Object

HERE = Path(__file__).parent
CUSTOMER = Object("shop", "customer")
PLACEHOLDER = "__debezium_unavailable_value"

WITH_SCHEMA = Message(
    (HERE / "debezium_key.json").read_bytes().strip(), (HERE / "debezium_create.json").read_bytes().strip()
)
KEY = b'{"id":1001}'
ROW: dict[str, Any] = orjson.loads(WITH_SCHEMA.value or b"")["payload"]["after"]

READS = frozenset({"first_name", "email", "birthday", "balance", "notes", "vip", "created_at", "seen_at"})


def debezium(*, fields: frozenset[str] | None = READS, key: tuple[str, ...] = ()) -> Door:
    return Door(format="debezium", kind=CUSTOMER, instance="main", fields=fields, key=key)


def cloudevents(**more: Any) -> Door:
    given: dict[str, Any] = {"fields": frozenset({"name", "email", "address.city"}), **more}
    return Door(format="cloudevents", kind=CUSTOMER, instance="main", **given)


def envelope(op: str, *, after: Any = ROW, before: Any = None, **source: Any) -> Message:
    """Without schemas, in the order in which the connector writes."""
    return Message(KEY, orjson.dumps(payload(op, after=after, before=before, **source)))


def payload(op: str, *, after: Any = ROW, before: Any = None, **source: Any) -> dict[str, Any]:
    return {
        "before": before,
        "after": after,
        "source": {
            "version": "3.0.8.Final",
            "connector": "postgresql",
            "name": "shop",
            "ts_ms": 1769860800500,
            "snapshot": "false",
            "db": "shop",
            "sequence": '["34497640","34498000"]',
            "ts_us": 1769860800500321,
            "ts_ns": 1769860800500321000,
            "schema": "public",
            "table": "customers",
            "txId": 771,
            "lsn": 34498000,
            "xmin": None,
            **source,
        },
        "transaction": None,
        "op": op,
        "ts_ms": 1769860800912,
        "ts_us": 1769860800912345,
        "ts_ns": 1769860800912345678,
    }


UPDATE = envelope("u", after={**ROW, "email": None, "notes": PLACEHOLDER, "tags": [PLACEHOLDER]})
DELETE = envelope(
    "d",
    before={name: 1001 if name == "id" else False if name == "vip" else None for name in ROW} | {"first_name": ""},
    after=None,
)
"""REPLICA IDENTITY DEFAULT: of the old row only the key is known, the rest are the types' defaults."""
TOMBSTONE = Message(KEY, None)
SNAPSHOT = envelope("r", snapshot="first", sequence='[null,"34496000"]', lsn=34496000)
TRUNCATE = Message(None, orjson.dumps(payload("t", after=None)))

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "8f0c",
    "source": "https://shop.example/customers",
    "type": "syncline.change.v1",
    "subject": "c-17",
    "time": "2026-01-31T13:00:00.5+01:00",
    "datacontenttype": "application/json",
    "data": {"op": "update", "complete": False, "version": "7", "fields": {"name": "Sally", "email": None}},
}
STRUCTURED_HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def structured(**changes: Any) -> Message:
    """Attributes that are changed to `...` are left out."""
    event = {name: value for name, value in {**EVENT, **changes}.items() if value is not ...}
    return Message(b"any", orjson.dumps(event), STRUCTURED_HEADERS)


def binary(data: Any = EVENT["data"], **changes: Any) -> Message:
    attributes = {name: value for name, value in {**EVENT, **changes}.items() if value is not ...}
    media = attributes.pop("datacontenttype", None)
    del attributes["data"]
    headers = [(f"ce_{name}", str(value).encode()) for name, value in attributes.items()]
    if media:
        headers.append(("content-type", media.encode()))
    return Message(None, None if data is ... else orjson.dumps(data), headers)
