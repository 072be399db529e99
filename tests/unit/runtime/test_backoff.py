"""Waits grow to a ceiling and never leave it; replicas that failed together come back apart."""

from __future__ import annotations

import random
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from syncline.runtime.backoff import delays

seconds = st.floats(0.001, 100)


class Late(random.Random):
    """Always draws the highest."""

    def uniform(self, a: float, b: float) -> float:
        return b


@given(st.randoms(use_true_random=False), seconds, seconds)
def test_no_wait_is_negative_or_above_its_ceiling(rng: random.Random, first: float, most: float) -> None:
    ceiling = min(first, most)
    for delay in islice(delays(rng, first=first, most=most), 60):
        assert 0 <= delay <= ceiling
        ceiling = min(most, ceiling * 2)


@given(seconds, seconds)
def test_ceilings_double_until_the_most(first: float, most: float) -> None:
    drawn = list(islice(delays(Late(), first=first, most=most), 60))
    assert drawn[0] == min(first, most)
    assert all(after == min(most, 2 * before) for before, after in pairwise(drawn))
    assert drawn[-1] == most


def test_the_whole_range_is_used() -> None:
    """Full jitter: a wait may be anything below its ceiling."""
    draws = [next(delays(random.Random(seed), first=1.0)) for seed in range(200)]
    assert min(draws) < 0.05
    assert max(draws) > 0.95


def test_the_same_seed_waits_the_same() -> None:
    one, other = (list(islice(delays(random.Random(7)), 20)) for _ in range(2))
    assert one == other
