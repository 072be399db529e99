"""What all of them do with one record, apart from their state. No more than orjson, so that it runs beside Quix."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import orjson

RESULT = b'{"type":"syncline.result.v1"'
"""How a result begins; nothing else on the topic does."""


def serving() -> None:
    """The clock starts."""
    print(json.dumps({"event": "serving", "timestamp": datetime.now(UTC).isoformat()}), file=sys.__stdout__, flush=True)


def result(value: bytes) -> tuple[str, str] | None:
    """Of a result: the record that is synced, and its id at the target. None for a command."""
    if not value.startswith(RESULT):
        return None
    document = orjson.loads(value)
    return document["source"], document["target"].split("/", 2)[2]


def waits_for(value: bytes) -> tuple[str | None, str, bytes]:
    """What a command waits for, the field that then takes its id, and the command."""
    head, _, command = value.partition(b"\n")
    waits = orjson.loads(head)["waits"]
    if not waits:
        return None, "", command
    on, _, field = waits[0]
    return on, field, command


def filled(command: bytes, field: str, target: str) -> bytes:
    return b"%b,%b:%b}}" % (command[:-2], orjson.dumps(field), orjson.dumps(target))
