"""The order in which a batch becomes safe, and what is left undone when a step fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaTimeoutError, RequestTimedOutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import RecordMetadata, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.engine import (
    Effects,
    Hop,
    Input,
    Output,
    Reader,
    View,
    faust_thread,
)
from services.mapper.engine.batch import Batch, Pass, Processor
from services.mapper.engine.progress import Progress
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.kafka import partition_of


class Builder:
    """Takes two records, so that batches fill up."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self._builder = self

    def append(
        self, number: int, now: int, *, key: bytes | None, value: bytes | None, headers: list[Any]
    ) -> object | None:
        if number == 2:
            return None
        self.records.append((key, value))
        return object()

    def close(self) -> None: ...


class Producer:
    """Notes when each batch was acknowledged; `failing` is a topic that takes nothing."""

    def __init__(self, steps: list[str], failing: str = "") -> None:
        self.steps, self.failing = steps, failing
        self.sent: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> Awaitable[RecordMetadata]:
        log = self.sent.setdefault((topic, partition), [])
        base = len(log)
        log.extend(batch.records)
        return asyncio.ensure_future(self._acknowledge(topic, partition, base))

    async def _acknowledge(self, topic: str, partition: int, base: int) -> RecordMetadata:
        for _ in range(5):  # later than anything that does not wait for it
            await asyncio.sleep(0)
        if topic == self.failing:
            raise RequestTimedOutError
        self.steps.append(f"{topic}-{partition} acknowledged")
        return RecordMetadata(topic, partition, TopicPartition(topic, partition), base, 0, 0, 0)

    async def partitions_for(self, topic: str) -> set[int]:
        if topic == "unknown":
            raise KafkaTimeoutError
        return set(range(3))


class Stores:
    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.written: dict[tuple[str, int], tuple[dict[bytes, bytes | None], int]] = {}
        self.rows: dict[tuple[str, bytes], bytes] = {}

    def reader(self, partition: int) -> Reader:
        return self

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows.get((table, key))

    def scan(self, table: str, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return sorted((key, value) for (name, key), value in self.rows.items() if name == table)

    def write(self, table: str, partition: int, changes: Mapping[bytes, bytes | None], offset: int) -> None:
        self.steps.append(f"{table}-{partition} stored")
        self.written[table, partition] = (dict(changes), offset)
        for key, value in changes.items():
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value


def nothing(inputs: Sequence[Input], stored: Reader) -> Effects:
    return Effects()


class Rig:
    def __init__(self, failing: str = "", owned: Sequence[bool] = (True,) * 9, hops: Sequence[Hop] = ()) -> None:
        self.steps: list[str] = []
        self.producer = Producer(self.steps, failing)
        self.stores = Stores(self.steps)
        self.progress = Progress()
        self._owned = iter(owned)
        self.processor = Processor(
            lambda: self.producer,
            self.stores,
            {"t": "log-t", "u": "log-u"},
            self.progress,
            hops or [Hop("hop", ("in",), ("t", "u"), nothing)],
            record_limit=100,
        )

    async def begin(self, *batches: Batch) -> Pass | None:
        return await self.processor.begin(batches, self._asked)

    async def finish(self, begun: Pass | None) -> bool:
        assert begun is not None
        return await self.processor.finish(begun, self._asked)

    async def handle(self, *batches: Batch) -> bool:
        begun = await self.begin(*batches)
        return begun is not None and await self.finish(begun)

    async def _asked(self) -> bool:
        self.steps.append("asked")
        return next(self._owned)


def batch(effects: Callable[[], Effects], partition: int = 0, tables: tuple[str, ...] = ("t", "u")) -> Batch:
    inputs = [Input("in", partition, offset, b"k", b"v", 0) for offset in (7, 8, 9)]
    return Batch(Hop("hop", ("in",), tables, lambda inputs, stored: effects()), partition, inputs)


def plain() -> Effects:
    return Effects({"t": {b"k": b"1", b"gone": None}, "u": {}}, [Output("out", b"k", b"v", 1)])


async def test_outputs_then_changelogs_then_tables() -> None:
    rig = Rig()
    assert await rig.handle(batch(plain))
    assert rig.steps == [
        "asked",
        "out-1 acknowledged",
        "asked",
        "log-t-0 acknowledged",
        "asked",
        "t-0 stored",
    ]
    assert rig.producer.sent["log-t", 0] == [(b"k", b"1"), (b"gone", None)]
    assert rig.stores.written == {("t", 0): ({b"k": b"1", b"gone": None}, 0)}
    assert (rig.progress.records["hop"], rig.progress.batches["hop"], rig.progress.outputs["hop"]) == (3, 1, 1)


async def test_partitions_are_handled_side_by_side_and_each_has_its_changelog_partition() -> None:
    rig = Rig()
    assert await rig.handle(batch(plain, 0), batch(plain, 2))
    assert rig.steps[:5] == ["asked", "asked", "out-1 acknowledged", "out-1 acknowledged", "asked"]
    assert {"log-t-0 acknowledged", "log-t-2 acknowledged"} == set(rig.steps[5:7])
    assert set(rig.steps[8:]) == {"t-0 stored", "t-2 stored"}


@pytest.mark.parametrize("failing", ["out", "log-t"])
async def test_a_failed_delivery_leaves_the_tables_alone(failing: str) -> None:
    rig = Rig(failing)
    with pytest.raises(Transient, match=f"{failing}-"):
        await rig.handle(batch(plain))
    assert rig.stores.written == {}
    assert rig.progress.records["hop"] == 0
    if failing == "out":
        assert ("log-t", 0) not in rig.producer.sent


async def test_partitions_lost_while_the_hop_ran_send_nothing() -> None:
    rig = Rig(owned=[False])
    assert not await rig.handle(batch(plain))
    assert rig.producer.sent == {}
    assert rig.stores.written == {}


async def test_partitions_lost_before_the_changelog_leave_it_alone() -> None:
    rig = Rig(owned=[True, False])
    assert not await rig.handle(batch(plain))
    assert rig.producer.sent.keys() == {("out", 1)}
    assert rig.stores.written == {}


async def test_partitions_lost_during_the_changelog_leave_the_tables_alone() -> None:
    rig = Rig(owned=[True, True, False])
    assert not await rig.handle(batch(plain))
    assert rig.stores.written == {}


async def test_a_hop_that_raises_is_named_with_its_records() -> None:
    def bug() -> Effects:
        raise ZeroDivisionError

    rig = Rig()
    with pytest.raises(Fatal, match="hop hop, in-2, offsets 7 to 9: ZeroDivisionError"):
        await rig.handle(batch(bug, 2))
    assert rig.steps == []


async def test_a_hop_writes_to_its_own_tables_only() -> None:
    rig = Rig()
    with pytest.raises(Fatal, match="changed u"):
        await rig.handle(batch(lambda: Effects({"u": {b"k": b"v"}}), tables=("t",)))
    assert rig.steps == []


async def test_an_output_over_the_limit_is_named() -> None:
    rig = Rig()
    with pytest.raises(Fatal, match="101 bytes for out"):
        await rig.handle(batch(lambda: Effects({}, [Output("out", b"k", b"v" * 100)])))
    assert rig.producer.sent == {}


async def test_an_output_without_partition_goes_where_its_key_says() -> None:
    rig = Rig()
    keys = [b"a", b"b", b"c", b"d"]
    assert await rig.handle(batch(lambda: Effects({}, [Output("out", key, b"v") for key in keys])))
    for key in keys:
        assert (key, b"v") in rig.producer.sent["out", partition_of(key, 3)]


async def test_a_topic_that_does_not_exist_fails_the_batch() -> None:
    with pytest.raises(Transient, match="unknown"):
        await Rig().handle(batch(lambda: Effects({}, [Output("unknown", b"k", b"v")])))


async def test_outputs_of_a_target_keep_their_order_over_several_batches() -> None:
    rig = Rig()
    outputs = [Output("out", b"k", b"%d" % number, 0) for number in range(7)]
    assert await rig.handle(batch(lambda: Effects({"t": {b"%d" % n: b"" for n in range(5)}}, outputs)))
    assert [value for _, value in rig.producer.sent["out", 0]] == [b"%d" % number for number in range(7)]
    assert rig.stores.written["t", 0][1] == 4  # the last of the changelog's batches begins there: 2 + 2 + 1 records


async def test_batches_of_a_partition_number_see_each_others_rows_and_leave_one_record_a_key() -> None:
    def counting(inputs: Sequence[Input], stored: Reader) -> Effects:
        before = int(stored.get("t", b"k") or b"0")
        listed = [value for _, value in stored.scan("t", b"k")]
        assert listed == ([b"%d" % before] if before else [])
        return Effects({"t": {b"k": b"%d" % (before + 1)}}, [Output("out", b"k", b"%d" % before, 0)])

    def on(topic: str, partition: int) -> Batch:
        return Batch(hop, partition, [Input(topic, partition, 0, None, None, 0)])

    hop = Hop("hop", ("a", "b", "c"), ("t",), counting)
    rig = Rig(hops=[hop])
    assert await rig.handle(on("a", 0), on("a", 1), on("b", 0), on("c", 0))
    assert rig.producer.sent["log-t", 0] == [(b"k", b"3")]
    assert rig.producer.sent["log-t", 1] == [(b"k", b"1")]
    assert [value for _, value in rig.producer.sent["out", 0]] == [b"0", b"1", b"2", b"0"]
    assert rig.progress.records == {"hop": 4}


async def test_partitions_lost_between_two_of_a_pass_send_no_more() -> None:
    rig = Rig(owned=[True, False])
    assert not await rig.handle(batch(plain, 0), batch(plain, 2))
    assert rig.steps == ["asked", "asked", "out-1 acknowledged"]  # before it is run again, or that could be overtaken
    assert rig.producer.sent.keys() == {("out", 1)}
    assert len(rig.producer.sent["out", 1]) == 1
    assert rig.stores.written == {}


def noted(inputs: Sequence[Input], stored: Reader) -> Effects:
    """Counts each record's key, and lists what there is; a count that reaches four begins anew."""
    view = View(stored)
    outputs = []
    for each in inputs:
        key = each.value or b""
        count = int(view.get("t", key) or b"0") + 1
        if count == 4:
            view.delete("t", key)
        else:
            view.put("t", key, b"%d" % count)
        listed = b" ".join(b"%b=%b" % row for row in view.scan("t", b""))
        outputs.append(Output("out", key, listed, 0))
    return Effects(view.changes, outputs)


def pass_of(values: Sequence[bytes]) -> Batch:
    return Batch(Hop("hop", ("in",), ("t",), noted), 0, [Input("in", 0, at, b"k", v, 0) for at, v in enumerate(values)])


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=5), min_size=1, max_size=6))
def test_a_pass_that_begins_before_the_last_is_safe_does_as_one_that_begins_after_it(passes: list[list[bytes]]) -> None:
    async def run(*, overlapping: bool) -> tuple[object, object, object]:
        rig = Rig(owned=[True] * 99)
        last: asyncio.Task[bool] | None = None
        for values in passes:
            begun = await rig.begin(pass_of(values))
            if last:
                assert await last
            last = asyncio.create_task(rig.finish(begun))
            if not overlapping:
                assert await last
        assert last
        assert await last
        return rig.stores.rows, rig.producer.sent, rig.progress.records

    assert asyncio.run(run(overlapping=True)) == asyncio.run(run(overlapping=False))


async def test_nothing_of_a_pass_is_stored_or_in_a_changelog_before_it_is_finished() -> None:
    rig = Rig()
    first = await rig.begin(pass_of([b"a"]))
    second = await rig.begin(pass_of([b"a"]))
    assert rig.producer.sent == {("out", 0): [(b"a", b"a=1"), (b"a", b"a=2")]}
    assert await rig.finish(first)
    assert rig.stores.rows == {("t", b"a"): b"1"}
    assert rig.producer.sent["log-t", 0] == [(b"a", b"1")]
    assert await rig.finish(second)
    assert rig.stores.rows == {("t", b"a"): b"2"}


async def test_a_pass_over_rows_that_never_were_stored_is_run_again() -> None:
    rig = Rig(owned=[True, True, False, True, True, True])
    first, second = await rig.begin(pass_of([b"a"])), await rig.begin(pass_of([b"a"]))
    assert not await rig.finish(first)
    before = len(rig.steps)
    assert not await rig.finish(second)
    assert rig.steps[before:] == ["out-0 acknowledged"]  # it must not land behind what comes when it is run again
    assert rig.stores.rows == {}
    assert rig.progress.records["hop"] == 0
    assert await rig.handle(pass_of([b"a", b"a"]))
    assert rig.stores.rows == {("t", b"a"): b"2"}


async def test_a_pass_under_way_when_the_last_one_is_lost_sends_nothing_more() -> None:
    rig = Rig(owned=[True, False])
    first = await rig.begin(pass_of([b"a"]))
    lost = asyncio.create_task(rig.finish(first))

    def late(inputs: Sequence[Input], stored: Reader) -> Effects:
        return Effects({"t": {b"k": b"late"}}, [Output("out", b"k", b"late", 2)])

    batches = [Batch(Hop("hop", ("in",), ("t",), late), 0, [Input("in", 0, 9, b"k", b"v", 0)])] * 9
    assert await rig.begin(*batches) is None  # more rounds of the loop than the first needs to hear that it is lost
    assert not await lost
    assert ("out", 2) not in rig.producer.sent
    assert rig.stores.rows == {}


async def test_a_failed_delivery_of_the_last_pass_leaves_the_next_one_unstored() -> None:
    rig = Rig("log-t")
    first, second = await rig.begin(pass_of([b"a"])), await rig.begin(pass_of([b"b"]))
    with pytest.raises(Transient, match="log-t"):
        await rig.finish(first)
    assert not await rig.finish(second)
    assert rig.stores.rows == {}


class Row:
    """Two hops: the first notes each record and passes it on as two, the second notes what it gets and lets it out."""

    def __init__(
        self, here: Sequence[tuple[str, int]], failing: str = "", owned: Sequence[bool] = (True,) * 20
    ) -> None:
        self.got: list[tuple[int, bytes | None]] = []
        first = Hop("first", ("in",), ("t",), self._first)
        self.rig = Rig(
            failing, owned, [first, Hop("second", ("mid", "public"), ("u",), self._second, private=("mid",))]
        )
        self.rig.progress.assigned = frozenset(here)
        self.batches = [Batch(first, 0, [Input("in", 0, at, b"k", b"v%d" % at, 0) for at in range(2)])]

    def _first(self, inputs: Sequence[Input], stored: Reader) -> Effects:
        outputs = [Output("mid", b"k", each.value or b"", number) for each in inputs for number in (1, 2)]
        return Effects({"t": {b"first": b"1"}}, outputs)

    def _second(self, inputs: Sequence[Input], stored: Reader) -> Effects:
        self.got += [(each.partition, each.value) for each in inputs]
        return Effects({"u": {b"second": b"1"}}, [Output("out", b"k", each.value or b"", 0) for each in inputs])


async def test_what_a_hop_says_to_a_later_one_is_handed_over_where_its_partition_is_here() -> None:
    row = Row([("in", 0), ("mid", 1)])
    assert await row.rig.handle(*row.batches)
    assert row.got == [(1, b"v0"), (1, b"v1")]
    assert row.rig.producer.sent["mid", 2] == [(b"k", b"v0"), (b"k", b"v1")]
    assert ("mid", 1) not in row.rig.producer.sent
    assert row.rig.progress.records == {"first": 2, "second": 2}


async def test_what_others_read_too_is_published() -> None:
    row = Row([("in", 0), ("public", 0)])
    first, second = row.rig.processor._hops
    said = replace(first, run=lambda inputs, stored: Effects({}, [Output("public", b"k", b"told", 0)]))
    rig = Rig(hops=[said, second])
    rig.progress.assigned = frozenset({("public", 0)})
    assert await rig.handle(Batch(said, 0, [Input("in", 0, 0, b"k", b"v", 0)]))
    assert rig.producer.sent["public", 0] == [(b"k", b"told")]
    assert row.got == []


async def test_what_was_fetched_comes_before_what_is_handed_over() -> None:
    row = Row([("in", 0), ("mid", 1)])
    second = row.rig.processor._hops[1]
    fetched = Batch(second, 1, [Input("mid", 1, 5, b"k", b"before", 0)])
    assert await row.rig.handle(*row.batches, fetched)
    assert row.got == [(1, b"before"), (1, b"v0"), (1, b"v1")]


async def test_the_later_hops_changelog_comes_before_that_of_the_hop_that_handed_over() -> None:
    """A row that says that a record was seen must not be safe before all that came of the record."""
    row = Row([("in", 0), ("mid", 1)])
    assert await row.rig.handle(*row.batches)
    steps = [step for step in row.rig.steps if step != "asked"]
    assert steps == [
        "mid-2 acknowledged",
        "out-0 acknowledged",
        "log-u-1 acknowledged",
        "u-1 stored",
        "log-t-0 acknowledged",
        "t-0 stored",
    ]


@pytest.mark.parametrize("failing", ["out", "log-u"])
async def test_a_failure_behind_the_hand_over_leaves_the_first_hops_table_alone(failing: str) -> None:
    row = Row([("in", 0), ("mid", 1)], failing)
    with pytest.raises(Transient, match=failing):
        await row.rig.handle(*row.batches)
    assert ("log-t", 0) not in row.rig.producer.sent
    assert row.rig.stores.written == {}


async def test_partitions_lost_after_the_hand_over_leave_the_first_hops_table_alone() -> None:
    row = Row([("in", 0), ("mid", 1)], owned=[True, True, True, True, False])
    assert not await row.rig.handle(*row.batches)
    assert ("log-t", 0) not in row.rig.producer.sent
    assert row.rig.stores.written.keys() == {("u", 1)}


def test_what_aiokafka_fetched_comes_as_inputs() -> None:
    """No record of its own is made in between."""
    builder = BatchBuilder(1 << 20, 0)
    for number in range(3):
        headers = [("h", b"x")] if number else []
        builder.append(timestamp=7, key=b"k%d" % number, value=None if number == 2 else b"v", headers=headers)
    records = MemoryRecords(bytes(builder._build()))
    place, key_deserializer = TopicPartition("t", 1), faust_thread.as_input
    made = fetcher.PartitionRecords(place, records, [], 1, key_deserializer, None, True, fetcher.READ_UNCOMMITTED)
    assert list(made) == [
        Input("t", 1, 1, b"k1", b"v", 7, (("h", b"x"),)),
        Input("t", 1, 2, b"k2", None, 7, (("h", b"x"),)),
    ]
