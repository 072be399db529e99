"""CloudEvents 1.0 by its Kafka protocol binding: structured mode (JSON) and binary mode (attributes in headers).

Two kinds of data are read. An event of type `syncline.change.v1` says itself what happened (`op`, `fields`, `complete`,
perhaps `version`). An event of a type that the configuration names holds the whole record as it is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from syncline.contracts import codec
from syncline.contracts.change import OPS, TYPE, Change, Op
from syncline.contracts.errors import Malformed
from syncline.contracts.foreign.door import Door, Message, refusal
from syncline.contracts.foreign.values import MISSING, at, moment, record_id, version
from syncline.contracts.ref import Fields, Ref

PREFIX = "ce_"
MEDIA_TYPE = "application/cloudevents"
SHAPE = "Send a CloudEvents 1.0 event as the contract's example shows it."
HEADERS = "Send the attributes as UTF-8 text in headers ce_id, ce_source, ..., or the whole event as JSON in the value."
ID = "Put the record's id into `subject`, or name the fields that hold it under `key` in pipelines.yaml."
VERSION = (
    "Give each change of a record a data.version (or a `sequence`) that sorts after the one before; without either, "
    "`time` is taken."
)


def read(door: Door, message: Message) -> Change | None:
    """None is a tombstone, which says nothing of its own. Raises RecordRejected."""
    attributes, data = _event(message)
    if attributes is None:
        return None
    _check(attributes)
    kind = attributes["type"]
    if kind == TYPE:
        return _change(door, attributes, _object(data))
    if kind in door.ops:
        return _record(door, attributes, data, door.ops[kind])
    known = ", ".join([TYPE, *sorted(door.ops)])
    raise refusal(
        f"type {kind!r:.80} is none of {known}",
        f"Send type {TYPE}, or say under `ops` in pipelines.yaml what this type does to the record.",
        "type",
    )


def _change(door: Door, attributes: Mapping[str, Any], data: Mapping[str, Any]) -> Change:
    op: Op = codec.take_one_of(data, "op", OPS, "data")
    if op == "delete":
        given, complete = codec.take_optional(data, "fields", dict, "data") or {}, True
    else:
        given, complete = codec.take(data, "fields", dict, "data"), codec.take(data, "complete", bool, "data")
    return Change(
        ref=Ref(*door.kind, _id(door, attributes, given)),
        instance=door.instance,
        op=op,
        version=_version(attributes, codec.take_optional(data, "version", str, "data")),
        time=moment(attributes["time"], "time", SHAPE),
        fields={} if op == "delete" else _fields(door, given, "data.fields"),
        complete=complete,
        origin=codec.take_optional(data, "origin", str, "data"),
    )


def _record(door: Door, attributes: Mapping[str, Any], data: Any, op: Op) -> Change:
    given = _object(data) if op != "delete" else data if isinstance(data, dict) else {}
    return Change(
        ref=Ref(*door.kind, _id(door, attributes, given)),
        instance=door.instance,
        op=op,
        version=_version(attributes, None),
        time=moment(attributes["time"], "time", SHAPE),
        fields={} if op == "delete" else _fields(door, given, "data"),
    )


def _event(message: Message) -> tuple[dict[str, Any] | None, Any]:
    """Attributes and data, MISSING without data. The header `content-type` tells the modes apart; an event that comes
    without any header is taken for a structured one."""
    headers = {name.lower(): value for name, value in message.headers if value is not None}
    media = _text("content-type", headers.get("content-type", b"")).partition(";")[0].strip().lower()
    if not media.startswith(MEDIA_TYPE) and f"{PREFIX}specversion" in headers:
        attributes: dict[str, Any] = {
            name.removeprefix(PREFIX): _text(name, value) for name, value in headers.items() if name.startswith(PREFIX)
        }
        if media:
            attributes["datacontenttype"] = media
        return attributes, MISSING if message.value is None else _json(attributes, message.value)
    if message.value is None:
        return None, MISSING
    if media.startswith(MEDIA_TYPE) and media != f"{MEDIA_TYPE}+json":
        raise refusal(f"{media} cannot be read", f"Send {MEDIA_TYPE}+json.", "content-type", code="UNSUPPORTED")
    document = codec.decode(message.value)
    data, encoded = document.pop("data", MISSING), document.pop("data_base64", None)
    if encoded is not None:
        if data is not MISSING or not isinstance(encoded, str):
            raise refusal("an event has either data or data_base64, which is text", SHAPE, "data", "data_base64")
        try:
            data = _json(document, base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise refusal("data_base64 is not base64", SHAPE, "data_base64") from None
    return document, data


def _check(attributes: Mapping[str, Any]) -> None:
    if attributes.get("specversion") != "1.0":
        raise refusal(
            f"not a CloudEvents 1.0 event: specversion is {attributes.get('specversion')!r:.40}", SHAPE, "specversion"
        )
    for name in ("id", "source", "type", "time"):
        if not codec.take(attributes, name, str):
            raise refusal(f"{name} must not be empty", SHAPE, name)
    media = codec.take_optional(attributes, "datacontenttype", str)
    if media and not _is_json(media):
        raise refusal(f"data of {media!r:.80} cannot be read", "Send the data as application/json.", "datacontenttype")


def _json(attributes: Mapping[str, Any], raw: bytes) -> Any:
    media = attributes.get("datacontenttype")
    if isinstance(media, str) and not _is_json(media):
        return raw  # refused by its type
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"data is not JSON: {error}", fields=("data",)) from error


def _is_json(media: str) -> bool:
    name = media.partition(";")[0].strip().lower()
    return name.endswith("+json") or name.partition("/")[2] == "json"


def _object(data: Any) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    kind = "missing" if data is MISSING else f"not {type(data).__name__}"
    raise refusal(f"data must be a JSON object, it is {kind}", SHAPE, "data")


def _id(door: Door, attributes: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    parts = [(name, at(given, name)) for name in door.key]
    if parts and ("subject" not in attributes or all(value is not MISSING for _, value in parts)):
        return record_id(parts, ID)
    return record_id([("subject", attributes.get("subject", MISSING))], ID)


def _version(attributes: Mapping[str, Any], own: str | None) -> str:
    """data.version, else the extension `sequence`, else the time."""
    if own is not None:
        return version(own, VERSION)
    sequence = attributes.get("sequence")
    if sequence is None:
        return moment(attributes["time"], "time", SHAPE)
    if isinstance(sequence, bool) or not isinstance(sequence, str | int):
        raise refusal("sequence must be text", VERSION, "sequence")
    return version(str(sequence), VERSION)


def _fields(door: Door, given: Mapping[str, Any], where: str) -> Fields:
    names = given.keys() if door.fields is None else door.fields
    found = {name: value for name in names if (value := at(given, name)) is not MISSING}
    codec.check_fields(found, where)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise refusal(f"header {name!r:.60} is not UTF-8 text", HEADERS, "headers") from None
