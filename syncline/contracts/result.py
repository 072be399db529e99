"""The result: what became of a command, or of a change that never became one."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, get_args

from syncline.contracts import codec
from syncline.contracts.ref import Ref

Outcome = Literal["written", "unchanged", "skipped", "conflict", "rejected"]
OUTCOMES = frozenset(get_args(Outcome))
SYNCED = frozenset({"written", "unchanged", "conflict"})
"""Outcomes after which both records are known to exist and to be linked."""


@dataclass(frozen=True, kw_only=True)
class Result:
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
        document: dict[str, Any] = codec.decode(raw)
        if (plain := _plain(document)) is not None:
            made = object.__new__(cls)
            made.__dict__.update(plain)  # see Change.decode
            return made
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


_NAMES = ("pipeline", "outcome", "source", "target", "version", "reason", "written", "created", "ended")
_VALUES = itemgetter(*_NAMES)


def _plain(document: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes when all is as it nearly always is; None when somebody should have a closer look."""
    try:
        pipeline, outcome, source, target, version, reason, written, created, ended = _VALUES(document)
        source, target = source.split("/", 2), target.split("/", 2)
    except (KeyError, AttributeError, TypeError):
        return None
    right = (
        type(outcome) is str
        and outcome in OUTCOMES
        and len(source) == len(target) == 3
        and all(source)
        and all(target)
        and type(pipeline) is type(version) is str
        and (reason is None or type(reason) is str)
        and type(written) is list
        and type(created) is type(ended) is bool
    )
    if not right:
        return None
    return {
        "pipeline": pipeline,
        "outcome": outcome,
        "source": Ref(*source),
        "target": Ref(*target),
        "version": version,
        "reason": reason,
        "written": tuple(written),
        "created": created,
        "ended": ended,
    }
