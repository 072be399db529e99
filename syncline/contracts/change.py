"""The change event: what a source says about one record (CloudEvents 1.0, structured JSON)."""

from __future__ import annotations

from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Literal, get_args

import orjson
from msgspec import Struct

from syncline.contracts import codec
from syncline.contracts.codec import Scalar, Text, shaped
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields, Ref

Op = Literal["create", "update", "delete", "undelete", "snapshot"]
OPS = frozenset(get_args(Op))
TYPE = "syncline.change.v1"


class Change(Struct, frozen=True, kw_only=True, dict=True):
    """`version` sorts as text: a later change of a record never sorts before an earlier one, equal versions are
    ordered by arrival. `fields`: absent is unknown or unchanged, None is empty. `complete`: `fields` is the whole
    record as mapped (a poll) and not a delta. `time` (RFC 3339) is when the source says that it changed."""

    ref: Ref
    instance: str
    op: Op
    version: str
    time: str
    fields: Fields
    complete: bool = True
    origin: str | None = None

    @cached_property
    def id(self) -> str:
        """The same system, object, record, version and content give the same id, whoever captured it.

        The content counts because SystemModstamp has whole seconds: two changes can share a version.
        """
        content = [*self.ref, self.version, self.op == "delete", self.fields]
        return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()

    def encode(self) -> bytes:
        codec.check_fields(self.fields, "data.fields")
        return codec.encode(
            {
                "specversion": "1.0",
                "id": self.id,
                "source": f"//{self.ref.system}/{self.instance}/{self.ref.object}",
                "type": TYPE,
                "subject": self.ref.id,
                "time": self.time,
                "datacontenttype": "application/json",
                "data": {
                    "op": self.op,
                    "version": self.version,
                    "fields": self.fields,
                    "complete": self.complete,
                    "origin": self.origin,
                },
            }
        )

    @classmethod
    def decode(cls, raw: bytes | None) -> Change:
        """Raises Malformed."""
        event = _read(raw)
        if event is None:
            return cls(**_checked(codec.decode(raw)))
        system, instance, name = _source(event.source)
        data = event.data
        return cls(
            ref=Ref(system, name, event.subject),
            instance=instance,
            op=data.op,
            version=data.version,
            time=event.time,
            fields=data.fields,
            complete=data.complete,
            origin=data.origin,
        )


class _Data(Struct):
    op: Op
    version: Text
    fields: dict[str, Scalar]
    complete: bool
    origin: str | None


class _Event(Struct):
    specversion: Literal["1.0"]
    type: Literal["syncline.change.v1"]
    source: str
    subject: Text
    time: str
    data: _Data


_read = shaped(_Event)


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """The same, and what is wrong by its name. Raises Malformed."""
    if document.get("specversion") != "1.0" or document.get("type") != TYPE:
        raise Malformed(
            f"expected a CloudEvents 1.0 event of type {TYPE}, got specversion "
            f"{document.get('specversion')!r} and type {document.get('type')!r}",
            fields=("specversion", "type"),
        )
    system, instance, name = _source(codec.take(document, "source", str))
    data: dict[str, Any] = codec.take(document, "data", dict)
    subject = codec.take(document, "subject", str)
    version = codec.take(data, "version", str, "data")
    if not subject or not version:
        raise Malformed("subject and data.version must not be empty", fields=("subject", "data.version"))
    return {
        "ref": Ref(system, name, subject),
        "instance": instance,
        "op": codec.take_one_of(data, "op", OPS, "data"),
        "version": version,
        "time": codec.take(document, "time", str),
        "fields": codec.take_fields(data, "fields", "data"),
        "complete": codec.take(data, "complete", bool, "data"),
        "origin": codec.take_optional(data, "origin", str, "data"),
    }


@lru_cache(maxsize=1024)
def _source(text: str) -> tuple[str, str, str]:
    parts = text.removeprefix("//").split("/")
    if not text.startswith("//") or len(parts) != 3 or not all(parts):
        raise Malformed(f"source must be //system/instance/object, not {text!r}", fields=("source",))
    return parts[0], parts[1], parts[2]
