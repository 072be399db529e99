"""The request: asks the poller to read one record now, because a child waits for it, or because it changed unseen."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.contracts import codec
from syncline.contracts.ref import Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """reason is for people: which child waits. known: the version that who asks knows the record by; what is read
    counts as no older, and a record that is gone as deleted. None: it was never met."""

    ref: Ref
    reason: str
    known: str | None = None

    def encode(self) -> bytes:
        document = {"type": "syncline.request.v1", "ref": str(self.ref), "reason": self.reason}
        return codec.encode(document if self.known is None else {**document, "known": self.known})

    @classmethod
    def decode(cls, raw: bytes | None) -> Request:
        """Raises Malformed."""
        document = codec.decode(raw)
        return cls(
            ref=Ref.parse(document.get("ref")),
            reason=codec.take(document, "reason", str),
            known=codec.take_optional(document, "known", str),
        )
