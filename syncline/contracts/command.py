"""The write command: what a pipeline wants a target record to hold.

It carries everything that the writer needs (match rules and policies already resolved), so that a writer with an
older or newer configuration is still safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Literal, get_args

import orjson

from syncline.contracts import codec
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.transforms import Written, check_written

CommandOp = Literal["upsert", "delete"]
OnDelete = Literal["unlink", "deactivate", "delete"]
ON_DELETE = frozenset(get_args(OnDelete))
COMMAND_OPS = frozenset(get_args(CommandOp))


@dataclass(frozen=True, kw_only=True)
class Command:
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
    match: list[Fields] = field(default_factory=list)
    conflict: dict[str, str] = field(default_factory=dict)
    creates: bool = True
    derived: dict[str, Written] = field(default_factory=dict)
    on_delete: OnDelete = "unlink"
    delete_limit: int = 0

    @property
    def id(self) -> str:
        return command_id(self.pipeline, self.source, self.version, self.op, self.creates, self.fields)

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
        document = codec.decode(raw)
        if (plain := _plain(document)) is None:
            return cls.read(document)
        made = object.__new__(cls)
        # As __init__ would, which for a frozen class makes a call for each attribute; see Change.decode.
        made.__dict__.update(plain)
        return made

    @classmethod
    def read(cls, document: dict[str, Any]) -> Command:
        """Raises Malformed."""
        system, _, name = codec.take(document, "target", str).partition("/")
        if not system or not name:
            raise Malformed("target must be system/object", fields=("target",))
        return cls(
            pipeline=codec.take(document, "pipeline", str),
            op=codec.take_one_of(document, "op", COMMAND_OPS),
            source=Ref.parse(document.get("source")),
            version=codec.take(document, "version", str),
            time=codec.take(document, "time", str),
            target=Object(system, name),
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


def _derived(document: dict[str, Any]) -> dict[str, Written]:
    """Raises Malformed for steps that this version does not know."""
    derived = codec.take(document, "derived", dict)
    for name, steps in derived.items():
        try:
            check_written(steps)
        except ValueError as error:
            raise Malformed(f"derived.{name}: {error}", fields=("derived",)) from error
    return derived


_NAMES = (
    *("pipeline", "version", "time", "op", "on_delete", "source", "target", "key", "counterpart"),
    *("match", "inputs", "conflict", "derived", "creates", "delete_limit", "seen", "fields"),
)
_VALUES = itemgetter(*_NAMES)
_TYPES = (str, str, str, str, str, str, str, str, str, list, dict, dict, dict, bool, int, dict, dict)
_NULL = _NAMES.index("key")
_SHAPES = frozenset(
    (*_TYPES[:_NULL], key, counterpart, *_TYPES[_NULL + 2 :])
    for key in (str, type(None))
    for counterpart in (str, type(None))
)
"""What an itemgetter's values may be: `key` and `counterpart`, which follow each other, may be null."""


def _plain(document: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes when all is as it nearly always is; None when somebody should have a closer look."""
    try:
        values = _VALUES(document)
    except KeyError:
        return None
    if tuple(map(type, values)) not in _SHAPES:
        return None
    made: dict[str, Any] = dict(zip(_NAMES, values, strict=True))
    if made["derived"]:
        return None
    source, target = made["source"].split("/", 2), made["target"].partition("/")
    if len(source) != 3 or not all(source) or not all(target):
        return None
    if made["op"] not in COMMAND_OPS or made["on_delete"] not in ON_DELETE:
        return None
    codec.check_fields(made["fields"], "fields")
    codec.check_fields(made["seen"], "seen")
    made["source"], made["target"] = Ref(*source), Object(target[0], target[2])
    return made


def command_id(pipeline: str, source: Ref, version: str, op: CommandOp, creates: bool, fields: Fields) -> str:
    """The same content gives the same id, so that a repeat is recognised."""
    content = [pipeline, *source, version, op, creates, fields]
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
