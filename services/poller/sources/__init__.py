"""What the poller asks of a system that it reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from syncline.contracts.change import Change
from syncline.contracts.ref import Object

Position = dict[str, Any]
"""How far an object has been read: a JSON object that only its source understands."""


class Page(NamedTuple):
    """position: what may be stored once the broker has every change of this page and of those before it. remaining:
    records that are to come, None where nobody has counted."""

    changes: list[Change]
    position: Position
    remaining: int | None = None


class Fetched(NamedTuple):
    """missing: the ids that name no record. An id in neither part changed a moment ago and comes with the next poll:
    a copy read now could be overtaken by a newer one of the same version."""

    changes: list[Change]
    missing: list[str]


class Source(Protocol):
    """One object. Every method raises Transient and Throttled (repeat later) or Fatal (this object needs a person)."""

    kind: Object
    interval: float
    """Seconds between two looks when nothing wakes it."""

    def pages(self, position: Position | None) -> AsyncGenerator[Page, None]:
        """Everything that changed after `position`; None is the first read. Asking for the next page says that the
        last one is published and its position stored."""

    def again(self, position: Position | None, since: datetime | None) -> AsyncGenerator[Page, None]:
        """Every record, or what changed since then, as it is now: `snapshot` and `delete` changes. `position` is that
        of a page before, None at the beginning; it is no position of `pages`. Leaves out what changed a moment ago,
        which comes by the next poll."""

    async def fetch(self, ids: Collection[str]) -> Fetched:
        """These records as they are now, as `snapshot` changes."""

    async def wait(self, seconds: float) -> None:
        """Until something may have changed, at most about so long."""
