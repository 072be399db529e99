"""A key goes to the partition to which Kafka's own clients send it."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from syncline.runtime.kafka import partition_of

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""murmur2 of these keys as the Java client has it (its UtilsTest)."""


@pytest.mark.parametrize(("key", "hash"), JAVA.items())
@pytest.mark.parametrize("count", [1, 4, 12, 1000, 2**31])
def test_the_hash_is_that_of_the_java_client_without_its_sign(key: bytes, hash: int, count: int) -> None:
    assert partition_of(key, count) == (hash & 0x7FFFFFFF) % count


@given(st.binary(min_size=1), st.integers(1, 1000))
def test_every_key_has_one_place_among_the_partitions(key: bytes, count: int) -> None:
    assert 0 <= partition_of(key, count) < count


@given(st.binary(max_size=70))
def test_every_length_is_hashed_as_by_other_clients(key: bytes) -> None:
    assert partition_of(key, 2**31) == murmur2(key) & 0x7FFFFFFF
