"""What the headers of a message on the topic `replay` say. Its value is a change event, byte for byte as it was.

In headers and not in the event: the event is a public contract, which this is no part of, and 10,000 of them a second
need not be taken apart to be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Headers = tuple[tuple[str, bytes], ...]

KEPT = "kept"
PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True)
class Replay:
    """kept: the event was kept on its topic, where a later one of the same version may follow it; False: it was read
    from the source just now, and is final for its version. pipelines: those that are to write it again, None for all.
    """

    kept: bool
    pipelines: frozenset[str] | None = None

    @property
    def headers(self) -> Headers:
        kept = ((KEPT, b""),) if self.kept else ()
        return kept + tuple((PIPELINE, name.encode()) for name in sorted(self.pipelines or ()))

    @classmethod
    def of(cls, headers: Sequence[tuple[str, bytes]]) -> Replay:
        return _read(tuple(headers))


@lru_cache(maxsize=256)
def _read(headers: Headers) -> Replay:
    """The messages of one replay all carry the same."""
    pipelines = frozenset(value.decode(errors="replace") for name, value in headers if name == PIPELINE)
    return Replay(any(name == KEPT for name, _ in headers), pipelines or None)
