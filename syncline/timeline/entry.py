"""One line of a record's timeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from syncline.contracts.ref import Ref

Stage = Literal["request", "change", "mapped", "held", "command", "conflict", "dead letter", "result", "link"]
ORDER = {stage: place for place, stage in enumerate(get_args(Stage))}
"""Of what carries the same millisecond: cause before effect."""

UNITS = ((1, "s"), (60, "min"), (3600, "h"))


@dataclass(frozen=True, slots=True)
class Entry:
    """what: one line. detail: the facts behind it, as JSON has them. ref: the name of the record that it concerns.
    where: `topic/partition/offset`, or the table of the state schema."""

    at: datetime
    stage: Stage
    what: str
    detail: dict[str, Any]
    ref: Ref
    where: str

    def document(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "stage": self.stage,
            "what": self.what,
            "detail": self.detail,
            "ref": str(self.ref),
            "where": self.where,
        }


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.at, ORDER[entry.stage]))


def facts(detail: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in detail.items() if value not in (None, (), [], {}, "")}


def duration(span: timedelta) -> str:
    """Short, for people: 0.4 s, 42 s, 12 min, 5 h, 3 days."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    size, unit = next(((size, unit) for size, unit in UNITS if seconds < 120 * size), (86_400, "days"))
    return f"{seconds / size:.0f} {unit}"
