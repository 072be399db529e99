"""A producer's sample: the messages of a file, and whether a door would let them in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from syncline.contracts.change import Change
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.foreign.door import Door, Format, Message
from syncline.contracts.foreign.read import read
from syncline.contracts.ref import Object

SAMPLE = Object("your-system", "your-object")
"""Stands for the object where none is named."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the message that begins at `line`; neither change nor error is a tombstone. lacks: fields that the
    pipelines read and the message, which should be whole, does not have."""

    line: int
    change: Change | None = None
    error: RecordRejected | None = None
    lacks: tuple[str, ...] = ()


def check(raw: bytes, door: Door | None = None) -> list[Found]:
    """Each message of a file: one value, or JSON Lines of values or of what `kcat -C -J` prints, which has keys and
    headers too. Without a door all fields are read and the format is told from the message."""
    return [_found(line, each, door) for line, each in _messages(raw)]


def _found(line: int, raw: bytes, door: Door | None) -> Found:
    try:
        message = _message(raw)
        chosen = door or Door(format=_format(message), kind=SAMPLE)
        result = read(chosen, message)
    except RecordRejected as error:
        return Found(line, error=error)
    if result is None:
        return Found(line)
    change = result[0]
    whole = change.complete and change.op != "delete"
    lacks = sorted((chosen.fields or frozenset()) - change.fields.keys()) if whole else []
    return Found(line, change, lacks=tuple(lacks))


def _messages(raw: bytes) -> Iterator[tuple[int, bytes]]:
    lines = [(number, line.strip()) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()]
    if len(lines) > 1 and isinstance(_json(raw), Malformed) and isinstance(_json(lines[0][1]), dict):
        yield from lines
    elif lines:
        yield lines[0][0], raw.strip()


def _message(raw: bytes) -> Message:
    document = _json(raw)
    if not (isinstance(document, dict) and {"topic", "payload"} <= document.keys()):
        return Message(None, raw)
    key, value, headers = document.get("key"), document["payload"], document.get("headers") or []
    texts = [each for each in (key, value, *headers) if each is not None] if isinstance(headers, list) else [headers]
    if not all(isinstance(each, str) for each in texts) or len(headers) % 2:
        raise Malformed("key, payload and headers must be text, as kcat -C -J prints them", fields=("headers",))
    pairs = zip(headers[::2], headers[1::2], strict=True)
    return Message(
        key if key is None else key.encode(),
        value if value is None else value.encode(),
        [(name, None if text is None else text.encode()) for name, text in pairs],
    )


def _json(raw: bytes) -> Any:
    """Malformed, not raised, where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Malformed(f"not JSON: {error}")


def _format(message: Message) -> Format:
    document = _json(message.value or b"")
    payload = document.get("payload", document) if isinstance(document, dict) else document
    debezium = isinstance(payload, dict) and {"op", "source"} <= payload.keys() and "specversion" not in payload
    return "debezium" if debezium else "cloudevents"


def remarks(found: Found) -> str:
    """One line for people."""
    if found.error:
        return f"{found.error}. {found.error.remedy}"
    if found.change is None:
        return "a tombstone, which says nothing of its own and is passed over"
    change = found.change
    whole = "" if change.op == "delete" else ", whole" if change.complete else ", what changed alone"
    lacks = f"; lacks {', '.join(found.lacks)}, which the pipelines read" if found.lacks else ""
    return f"{change.op} of {change.ref}, version {change.version}, {len(change.fields)} fields{whole}{lacks}"
