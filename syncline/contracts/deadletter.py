"""The dead letter: an input that could not become an effect, with why and what to do about it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal, get_args

from syncline.contracts import codec
from syncline.contracts.errors import Malformed, RecordRejected
from syncline.contracts.topics import EVENT_BYTES

Stage = Literal["poller", "mapper", "writer"]
STAGES = frozenset(get_args(Stage))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """input is the message as it came (of several commands for one record, what they come to together), None when it
    was too large to carry along; position names where it came from (`topic/partition/offset`, or a source's own words);
    ref names the record when it is known."""

    stage: Stage
    code: str
    message: str
    fields: tuple[str, ...]
    remedy: str
    position: str
    ref: str | None
    pipeline: str | None
    input: bytes | None

    @classmethod
    def of(
        cls,
        error: RecordRejected,
        *,
        stage: Stage,
        position: str,
        input: bytes | None,  # noqa: A002 - the contract's own word
        ref: str | None = None,
        pipeline: str | None = None,
    ) -> DeadLetter:
        return cls(
            stage=stage,
            code=error.code,
            message=str(error),
            fields=error.fields,
            remedy=error.remedy,
            position=position,
            ref=ref,
            pipeline=pipeline,
            input=input if input is not None and len(input) <= EVENT_BYTES else None,
        )

    @property
    def key(self) -> bytes:
        return (self.ref or self.position).encode()

    def encode(self) -> bytes:
        return codec.encode(
            {
                "type": "syncline.dead-letter.v1",
                "stage": self.stage,
                "code": self.code,
                "message": self.message,
                "fields": self.fields,
                "remedy": self.remedy,
                "position": self.position,
                "ref": self.ref,
                "pipeline": self.pipeline,
                "input": base64.b64encode(self.input).decode() if self.input is not None else None,
            }
        )

    @classmethod
    def decode(cls, raw: bytes | None) -> DeadLetter:
        """Raises Malformed."""
        document = codec.decode(raw)
        encoded = codec.take_optional(document, "input", str)
        return cls(
            stage=codec.take_one_of(document, "stage", STAGES),
            code=codec.take(document, "code", str),
            message=codec.take(document, "message", str),
            fields=tuple(codec.take(document, "fields", list)),
            remedy=codec.take(document, "remedy", str),
            position=codec.take(document, "position", str),
            ref=codec.take_optional(document, "ref", str),
            pipeline=codec.take_optional(document, "pipeline", str),
            input=_bytes(encoded) if encoded is not None else None,
        )


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise Malformed(f"input must be base64: {error}", fields=("input",)) from error
