"""What the org was asked and what it wrote, for those who count calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from syncline.simorg.dml import Saved
from syncline.simorg.faults import KINDS, CallKind


class Stats:
    """`calls` by kind, answered or not; `rows` by what happened to them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def call(self, kind: CallKind) -> None:
        self.calls[kind] += 1

    def written(self, saved: Iterable[Saved]) -> None:
        self.rows.update(one.action for one in saved)

    def to_json(self) -> dict[str, dict[str, int]]:
        return {
            "calls": {kind: self.calls[kind] for kind in KINDS},
            "rows": {action: self.rows[action] for action in ("created", "updated", "deleted")},
        }
