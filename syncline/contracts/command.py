"""The write command: what a pipeline wants a target record to hold.

It carries everything that the writer needs (match rules and policies already resolved), so that a writer with an
older or newer configuration is still safe.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal, get_args

import orjson
from msgspec import Struct

from syncline.contracts import codec
from syncline.contracts.codec import Scalar, shaped
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.transforms import Written, check_written

CommandOp = Literal["upsert", "delete"]
OnDelete = Literal["unlink", "deactivate", "delete"]
ON_DELETE = frozenset(get_args(OnDelete))
COMMAND_OPS = frozenset(get_args(CommandOp))


class Command(Struct, frozen=True, kw_only=True):
    """fields: what the target should hold; None clears on purpose, absent is left alone.
    seen: the source's own values of the fields that the pipeline reads.
    inputs: target field to the source fields that feed it.
    key: the target's external-ID field, which creation fills with the source's id, so that a repeat is no duplicate.
    counterpart: the id of the target record that the source record itself names.
    match: rules in order, each target field to value; the first that finds one unlinked record links to it.
    conflict: target field to the winner: a system's name, `latest` or `review`; `*` stands for the others.
    creates: False for a deferred reference, which patches a record that another command creates.
    derived: target field to the transforms that its own present value goes through.
    on_delete, delete_limit: of a `delete`, what becomes of the target, and how many in an hour need nobody's consent;
    `fields` then is what a deactivated record holds.
    """

    pipeline: str
    op: CommandOp
    source: Ref
    version: str
    time: str
    target: Object
    fields: Fields
    seen: Fields
    inputs: dict[str, list[str]]
    key: str | None = None
    counterpart: str | None = None
    match: list[Fields] = []
    conflict: dict[str, str] = {}
    creates: bool = True
    derived: dict[str, Written] = {}
    on_delete: OnDelete = "unlink"
    delete_limit: int = 0

    @property
    def id(self) -> str:
        fields = orjson.dumps(self.fields)
        return command_id(self.pipeline, str(self.source), self.version, self.op, self.creates, fields)

    def document(self) -> dict[str, Any]:
        return {
            "type": "syncline.command.v1",
            "id": self.id,
            "pipeline": self.pipeline,
            "op": self.op,
            "source": str(self.source),
            "version": self.version,
            "time": self.time,
            "target": str(self.target),
            "seen": self.seen,
            "inputs": self.inputs,
            "key": self.key,
            "counterpart": self.counterpart,
            "match": self.match,
            "conflict": self.conflict,
            "creates": self.creates,
            "derived": self.derived,
            "on_delete": self.on_delete,
            "delete_limit": self.delete_limit,
            "fields": self.fields,  # last, so that the mapper can add one without taking the rest apart
        }

    def encode(self) -> bytes:
        return codec.encode(self.document())

    @classmethod
    def decode(cls, raw: bytes | None) -> Command:
        """Raises Malformed."""
        shape = _read(raw)
        if shape is None or shape.derived:
            return cls.read(codec.decode(raw))
        return cls(
            pipeline=shape.pipeline,
            op=shape.op,
            source=Ref.parse(shape.source),
            version=shape.version,
            time=shape.time,
            target=_target(shape.target),
            fields=shape.fields,
            seen=shape.seen,
            inputs=shape.inputs,
            key=shape.key,
            counterpart=shape.counterpart,
            match=shape.match,
            conflict=shape.conflict,
            creates=shape.creates,
            on_delete=shape.on_delete,
            delete_limit=shape.delete_limit,
        )

    @classmethod
    def read(cls, document: dict[str, Any]) -> Command:
        """Raises Malformed."""
        return cls(
            pipeline=codec.take(document, "pipeline", str),
            op=codec.take_one_of(document, "op", COMMAND_OPS),
            source=Ref.parse(document.get("source")),
            version=codec.take(document, "version", str),
            time=codec.take(document, "time", str),
            target=_target(codec.take(document, "target", str)),
            fields=codec.take_fields(document, "fields"),
            seen=codec.take_fields(document, "seen"),
            inputs=codec.take(document, "inputs", dict),
            key=codec.take_optional(document, "key", str),
            counterpart=codec.take_optional(document, "counterpart", str),
            match=codec.take(document, "match", list),
            conflict=codec.take(document, "conflict", dict),
            creates=codec.take(document, "creates", bool),
            derived=_derived(document),
            on_delete=codec.take_one_of(document, "on_delete", ON_DELETE),
            delete_limit=codec.take(document, "delete_limit", int),
        )


def _target(text: str) -> Object:
    system, _, name = text.partition("/")
    if not system or not name:
        raise Malformed("target must be system/object", fields=("target",))
    return Object(system, name)


def _derived(document: dict[str, Any]) -> dict[str, Written]:
    """Raises Malformed for steps that this version does not know."""
    derived = codec.take(document, "derived", dict)
    for name, steps in derived.items():
        try:
            check_written(steps)
        except ValueError as error:
            raise Malformed(f"derived.{name}: {error}", fields=("derived",)) from error
    return derived


class _Shape(Struct):
    pipeline: str
    op: CommandOp
    source: str
    version: str
    time: str
    target: str
    key: str | None
    counterpart: str | None
    match: list[dict[str, Scalar]]
    inputs: dict[str, list[str]]
    conflict: dict[str, str]
    creates: bool
    derived: dict[str, Written]
    on_delete: OnDelete
    delete_limit: int
    seen: dict[str, Scalar]
    fields: dict[str, Scalar]


_read = shaped(_Shape)


def command_id(pipeline: str, source: str, version: str, op: CommandOp, creates: bool, fields: bytes) -> str:
    """The same content gives the same id, so that a repeat is recognised. fields: as JSON, in the mapping's order."""
    content = b"%b\0%b" % (f"{pipeline}\0{source}\0{version}\0{op}\0{creates}".encode(), fields)
    return blake2b(content, digest_size=16).hexdigest()
