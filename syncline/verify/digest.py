"""Checksums in buckets, pure: what a side says of its records, in memory that does not grow with them.

A record's digest is added to the bucket that its pair's name falls into. Addition forgets the order, in which the two
systems differ, and unlike an exclusive or it does not forget what comes twice.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from syncline.contracts.ref import Value

BUCKETS = 1 << 16
"""About one record each at 65,000 pairs, and about 15 at a million: so many are read again for one that differs."""
_ALL = (1 << 128) - 1
_EXACT = 1 << 53
"""Above it a float holds no whole numbers one by one."""


def plain(value: Value) -> Value:
    """One form for what both systems hold for the same: an empty text is empty, 1.0 is 1; true is not 1."""
    if value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def digest(*parts: Any) -> int:
    """Of 128 bits; the order of keys does not matter."""
    encoded = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(encoded, digest_size=16).digest())


def bucket_of(a: str, b: str, count: int = BUCKETS) -> int:
    """Of a pair, by the ids of its two records."""
    return int.from_bytes(blake2b(f"{a}\0{b}".encode(), digest_size=8).digest()) % count


class Buckets:
    """What one side says."""

    def __init__(self, count: int = BUCKETS) -> None:
        self._sums = [0] * count

    def add(self, bucket: int, digest: int) -> None:
        self._sums[bucket] = (self._sums[bucket] + digest) & _ALL

    def differing(self, other: Buckets) -> frozenset[int]:
        pairs = zip(self._sums, other._sums, strict=True)
        return frozenset(at for at, (one, another) in enumerate(pairs) if one != another)

    @property
    def filled(self) -> int:
        return sum(map(bool, self._sums))

    @property
    def checksum(self) -> str:
        """Of all buckets together; the same on both sides when they are equal."""
        return f"{sum(self._sums) & _ALL:032x}"
