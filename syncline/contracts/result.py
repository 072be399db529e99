"""The result: what became of a command, or of a change that never became one."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from syncline.contracts import codec
from syncline.contracts.codec import shaped
from syncline.contracts.ref import Ref

Outcome = Literal["written", "unchanged", "skipped", "conflict", "rejected"]
OUTCOMES = frozenset(get_args(Outcome))
SYNCED = frozenset({"written", "unchanged", "conflict"})
"""Outcomes after which both records are known to exist and to be linked."""


class Result(Struct, frozen=True, kw_only=True):
    """Published under the source's key and, when there is a target, under the target's: a link makes both synced.

    version is the source's; reason says why for every outcome but `written`; written names the target's fields
    that were sent, created tells a new record from a patch. ended: the pair is no longer one, and neither of the two
    counts as synced.
    """

    pipeline: str
    outcome: Outcome
    source: Ref
    target: Ref | None
    version: str
    reason: str | None = None
    written: tuple[str, ...] = ()
    created: bool = False
    ended: bool = False

    def encode(self) -> bytes:
        return codec.encode(
            {
                "type": "syncline.result.v1",
                "pipeline": self.pipeline,
                "outcome": self.outcome,
                "source": str(self.source),
                "target": str(self.target) if self.target else None,
                "version": self.version,
                "reason": self.reason,
                "written": self.written,
                "created": self.created,
                "ended": self.ended,
            }
        )

    @classmethod
    def decode(cls, raw: bytes | None) -> Result:
        """Raises Malformed."""
        if (read := _read(raw)) is not None:
            return cls(
                pipeline=read.pipeline,
                outcome=read.outcome,
                source=Ref.parse(read.source),
                target=None if read.target is None else Ref.parse(read.target),
                version=read.version,
                reason=read.reason,
                written=read.written,
                created=read.created,
                ended=read.ended,
            )
        document = codec.decode(raw)
        target = document.get("target")
        return cls(
            pipeline=codec.take(document, "pipeline", str),
            outcome=codec.take_one_of(document, "outcome", OUTCOMES),
            source=Ref.parse(document.get("source")),
            target=Ref.parse(target) if target is not None else None,
            version=codec.take(document, "version", str),
            reason=codec.take_optional(document, "reason", str),
            written=tuple(codec.take(document, "written", list)),
            created=codec.take(document, "created", bool),
            ended=codec.take(document, "ended", bool),
        )

    def message_keys(self) -> list[bytes]:
        """The Kafka keys that it is published under."""
        return [str(ref).encode() for ref in (self.source, self.target) if ref]


class _Shape(Struct):
    pipeline: str
    outcome: Outcome
    source: str
    target: str | None
    version: str
    reason: str | None
    written: tuple[str, ...]
    created: bool
    ended: bool


_read = shaped(_Shape)
