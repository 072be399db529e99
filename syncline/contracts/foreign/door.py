"""What a reader is told of the topic that it reads, what it is given, and how it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from syncline.contracts.change import Op
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Object

Format = Literal["cloudevents", "debezium"]


class Message(NamedTuple):
    """A Kafka record's own parts."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One foreign topic. fields: those that the pipelines read, None for all that can be read. key: the fields that
    hold the record's id, empty where the format has a place for it. ops: what a producer's own CloudEvents types mean.
    """

    format: Format
    kind: Object
    instance: str = "default"
    fields: frozenset[str] | None = None
    key: tuple[str, ...] = ()
    ops: Mapping[str, Op] = field(default_factory=dict)


def refusal(what: str, remedy: str, *fields: str, code: str = "MALFORMED") -> RecordRejected:
    return RecordRejected(what, code=code, fields=fields, remedy=remedy)
