"""Events of other systems, spoiled at random in the ways that bytes, JSON and people go wrong."""

from __future__ import annotations

import random
from typing import Any

import orjson

from syncline.contracts.foreign.door import Message
from tests.unit.foreign.samples import (
    DELETE,
    EVENT,
    SNAPSHOT,
    TRUNCATE,
    UPDATE,
    WITH_SCHEMA,
    binary,
    structured,
)

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63 - 1, 2**64 - 1, 1e308, "", "x", "\0", "9" * 400, "2026-13-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "__debezium_unavailable_value", "MDk=", "[null]", "[1]",
    '["99999999999999999999999"]', [], {}, [[]], [None], {"": None}, {"schema": {}, "payload": {}}, {"fields": [None]},
    "é\ud7ff😀", "a/b%2F", "io.debezium.time.Date", "org.apache.kafka.connect.data.Decimal", "c", "u", "d", "r", "t",
]  # fmt: skip

DEBEZIUM = [WITH_SCHEMA, UPDATE, DELETE, SNAPSHOT, TRUNCATE]
CLOUDEVENTS = [
    structured(),
    binary(),
    structured(type="own", data={"name": "S", "address": {"city": "Oslo"}}, sequence="5"),
    binary({"name": "S"}, type="gone"),
    Message(None, orjson.dumps(EVENT)),
]


def spoiled(document: Any, rng: random.Random) -> Any:
    """One place of a JSON document replaced, removed or doubled."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        name = rng.choice(list(document))
        if rng.random() < 0.15:
            return {key: value for key, value in document.items() if key != name}
        if rng.random() < 0.05:
            return {**document, str(rng.choice(ODD)): document[name]}
        return {**document, name: spoiled(document[name], rng)}
    if isinstance(document, list) and document and rng.random() < 0.8:
        at = rng.randrange(len(document))
        return [*document[:at], spoiled(document[at], rng), *document[at + 1 :]]
    return rng.choice(ODD)


def bytes_spoiled(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return rng.choice(
        [
            raw[:at],
            raw[:at] + rng.randbytes(rng.randint(1, 4)) + raw[at + 1 :],
            raw[:at] + raw[at // 2 :],
            b"[" * 3_000 + raw,
            rng.randbytes(20),
        ]
    )


def mutated(message: Message, rng: random.Random) -> Message:
    key, value, headers = message.key, message.value, list(message.headers)
    for _ in range(rng.randint(1, 3)):
        part = rng.random()
        if part < 0.7 and value is not None:
            try:
                value = orjson.dumps(spoiled(orjson.loads(value), rng))
            except orjson.JSONDecodeError:
                value = bytes_spoiled(value, rng)
        elif part < 0.8 and value is not None:
            value = rng.choice([None, bytes_spoiled(value, rng)])
        elif part < 0.9 and key is not None:
            key = rng.choice([None, bytes_spoiled(key, rng), orjson.dumps(rng.choice(ODD))])
        elif headers:
            at = rng.randrange(len(headers))
            name, old = headers[at]
            headers[at] = rng.choice(
                [(name, None), (name.upper(), old), (name, bytes_spoiled(old or b"", rng)), ("ce_sequence", b"-")]
            )
    return Message(key, value, headers)
