"""How long to wait before the next try: capped exponential growth with full jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(rng: random.Random, *, first: float = 0.2, most: float = 30.0) -> Iterator[float]:
    """Seconds, without end. Full jitter keeps replicas that failed together from coming back together."""
    ceiling = min(first, most)
    while True:
        yield rng.uniform(0, ceiling)
        ceiling = min(most, ceiling * 2)
