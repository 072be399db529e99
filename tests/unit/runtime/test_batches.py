"""Whole batches for one partition, as aiokafka's own way would make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from syncline.runtime.kafka import fill

Pairs = Sequence[tuple[bytes | None, bytes | None]]
MAYBE = st.none() | st.binary(max_size=40)


def told(batch: BatchBuilder) -> list[tuple[Any, ...]]:
    """What a consumer would find."""
    records, found = MemoryRecords(bytes(batch._build())), []
    while records.has_next():
        made = records.next_batch()
        assert made.validate_crc()
        found += [(record.offset, record.key, record.value, tuple(record.headers)) for record in made]
    return found


@given(st.lists(st.tuples(MAYBE, MAYBE), min_size=1, max_size=30), st.lists(st.tuples(st.text(), st.binary())))
def test_batches_hold_what_appending_one_by_one_would_put_there(pairs: Pairs, headers: list[tuple[str, bytes]]) -> None:
    done = 0
    while done < len(pairs):
        batch, alike = BatchBuilder(300, 0), BatchBuilder(300, 0)
        taken = fill(batch, pairs, done, headers)
        assert batch.append(timestamp=None, key=b"", value=b"") is None  # aiokafka must not add to it
        for key, value in pairs[done:]:
            if alike.append(timestamp=None, key=key, value=value, headers=headers) is None:
                break
        assert taken == batch.record_count() == alike.record_count() > 0
        assert told(batch) == told(alike)
        done += taken


def test_a_record_has_the_time_at_which_it_is_sent() -> None:
    batch, alike = BatchBuilder(300, 0), BatchBuilder(300, 0)
    fill(batch, [(b"k", b"v")], 0, [])
    alike.append(timestamp=None, key=b"k", value=b"v")
    ours, theirs = (next(MemoryRecords(bytes(each._build())).next_batch()).timestamp for each in (batch, alike))
    assert abs(ours - theirs) < 60_000
