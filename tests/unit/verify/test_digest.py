"""Checksums: the same for what both systems hold for the same, and told apart for everything else."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.contracts.ref import Value
from syncline.verify.digest import Buckets, bucket_of, digest, plain
from tests.unit.verify.world import CONTACT, CUSTOMER, World, form

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = scalars | st.text(max_size=5)


FIRST, LAST = datetime.fromisoformat("1800-01-01"), datetime.fromisoformat("3900-01-01")


def summed(kind: object, field: str, value: Value) -> int:
    assert kind in (CONTACT, CUSTOMER)
    return digest(plain(form(CONTACT if kind == CONTACT else CUSTOMER, field, value)))


@pytest.mark.parametrize(
    ("field", "column", "alike", "other"),
    [
        ("Score", "score", [1, 1.0, "1", "1.00", " 1 "], 1.5),
        ("Score", "score", [-0.0, 0, "0"], None),
        ("Name", "name", [None, ""], "x"),
        ("Member", "member", [True, "true", "TRUE"], False),
        ("Born", "born", ["2026-01-02"], "2026-01-03"),
        (
            "Seen",
            "seen",
            ["2026-01-02T03:04:05.000+0000", "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00"],
            "2026-01-02T03:04:06Z",
        ),
    ],
)
def test_what_a_system_holds_for_the_same_has_one_digest(
    field: str, column: str, alike: list[Value], other: Value
) -> None:
    for kind, name in ((CONTACT, field), (CUSTOMER, column)):
        assert len({summed(kind, name, value) for value in alike}) == 1
        assert summed(kind, name, other) != summed(kind, name, alike[0])


def test_salesforce_trims_and_the_hub_does_not() -> None:
    assert summed(CONTACT, "Name", " Ng\n") == summed(CONTACT, "Name", "Ng")
    assert summed(CUSTOMER, "name", " Ng") != summed(CUSTOMER, "name", "Ng")
    assert summed(CONTACT, "Name", "\u00a0Ng") != summed(CONTACT, "Name", "Ng")


@given(st.datetimes(FIRST, LAST), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_the_same_in_every_time_zone(at: datetime, minutes: int) -> None:
    utc = at.replace(microsecond=0, tzinfo=UTC)
    there = utc.astimezone(timezone(timedelta(minutes=minutes)))
    for kind, field in ((CONTACT, "Seen"), (CUSTOMER, "seen")):
        assert summed(kind, field, utc.isoformat()) == summed(kind, field, there.isoformat())


@given(st.decimals(-1_000_000, 1_000_000, places=4))
def test_a_number_is_the_same_with_and_without_trailing_zeros(number: Decimal) -> None:
    for kind, field in ((CONTACT, "Score"), (CUSTOMER, "score")):
        assert summed(kind, field, str(number)) == summed(kind, field, float(number))


@given(values, values)
def test_two_values_have_one_digest_only_when_they_are_the_same(one: Value, other: Value) -> None:
    alike = plain(one) == plain(other) and isinstance(one, bool) == isinstance(other, bool)
    assert (digest(plain(one)) == digest(plain(other))) == alike


@given(st.sampled_from([*World().pairing.known[CONTACT]]), values, values)
def test_the_digest_and_the_comparison_of_values_agree(field: str, one: Value, other: Value) -> None:
    same = World().pairing.same(CONTACT, field, one, other)
    assert (summed(CONTACT, field, one) == summed(CONTACT, field, other)) == same


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2**128 - 1)), max_size=30), st.randoms())
def test_a_bucket_forgets_the_order_and_nothing_else(rows: list[tuple[int, int]], rng: random.Random) -> None:
    one, other = Buckets(8), Buckets(8)
    for row in rows:
        one.add(*row)
    rng.shuffle(rows)
    for row in rows:
        other.add(*row)
    assert (one.differing(other), one.checksum) == (frozenset(), other.checksum)
    other.add(3, 7)
    assert one.differing(other) == {3}
    assert one.checksum != other.checksum


def test_what_comes_twice_does_not_cancel_out() -> None:
    twice = Buckets(1)
    for _ in range(2):
        twice.add(0, 5)
    assert twice.differing(Buckets(1)) == {0}


def test_pairs_spread_over_all_buckets() -> None:
    counts = [0] * 16
    for n in range(1600):
        counts[bucket_of(str(n), "x", 16)] += 1
    assert min(counts) > 50
