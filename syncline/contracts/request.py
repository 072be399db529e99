"""The request: the mapper asks the poller to read one record now, because a child waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.contracts import codec
from syncline.contracts.ref import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """reason is for people: which child waits."""

    ref: Ref
    reason: str

    def encode(self) -> bytes:
        return codec.encode({"type": "syncline.request.v1", "ref": str(self.ref), "reason": self.reason})

    @classmethod
    def decode(cls, raw: bytes | None) -> Request:
        """Raises Malformed."""
        document = codec.decode(raw)
        return cls(ref=Ref.parse(document.get("ref")), reason=codec.take(document, "reason", str))
