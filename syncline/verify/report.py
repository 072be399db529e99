"""What a comparison came to, and what it rests on; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncline.verify.reasons import REASONS, Difference, Reason

LISTED = 100_000
"""So many differences are kept; of more it is only told how many. Who has more needs a resync and no list."""
ENOUGH = 10_000
"""Fewer rows fill no pages."""


@dataclass
class Read:
    """Of one object: pages and rows read, those of them that are linked, and why others rightly are not."""

    pages: int = 0
    rows: int = 0
    linked: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass
class Compared:
    """Two objects: how many buckets have anything in them, how many differed at first, the pairs that were read again
    for it, and the checksum of each side's buckets by its object."""

    buckets: int = 0
    differing: int = 0
    again: int = 0
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """at: what was changed before this moment was compared. calls: by system and kind, all that was sent for this
    report. differences: at the end; counts: by reason; unlisted: how many there are beyond LISTED, which nobody looked
    at twice. repaired: what was put right. unread: objects of systems that only send. looks: how often what differed
    was looked at."""

    at: datetime
    objects: dict[str, Read] = field(default_factory=dict)
    pairs: dict[str, Compared] = field(default_factory=dict)
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    repaired: list[Difference] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    unlisted: int = 0
    looks: int = 1
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        return not self.differences and not self.unlisted

    @property
    def counts(self) -> Counter[Reason]:
        return Counter(each.reason for each in self.differences)

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.objects.values())

    def price(self, system: str) -> float | None:
        """Calls that reading 100,000 rows of that system costs, one a page; None where too few were read to tell."""
        read = [each for name, each in self.objects.items() if name.startswith(f"{system}/")]
        rows = sum(each.rows for each in read)
        return sum(each.pages for each in read) * 100_000 / rows if rows >= ENOUGH else None

    def document(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "as_of": self.at.isoformat(timespec="milliseconds"),
            "objects": {name: _object(each) for name, each in sorted(self.objects.items())},
            "pairs": {name: _compared(each) for name, each in sorted(self.pairs.items())},
            "calls": {
                system: {**calls, "all": calls.total(), "per_100000_rows": self.price(system)}
                for system, calls in sorted(self.calls.items())
            },
            "looks": self.looks,
            "not_comparable": self.unread,
            "unlisted": self.unlisted,
            "counts": {reason: self.counts[reason] for reason in REASONS},
            "differences": [each.document() for each in self.differences],
            "repaired": [each.document() for each in self.repaired],
            "seconds": round(self.seconds, 1),
        }


def _object(read: Read) -> Mapping[str, Any]:
    return {"rows": read.rows, "linked": read.linked, "left_out": dict(read.left_out)}


def _compared(compared: Compared) -> Mapping[str, Any]:
    return {
        "buckets": compared.buckets,
        "buckets_differing": compared.differing,
        "pairs_read_again": compared.again,
        "checksums": compared.checksums,
    }
