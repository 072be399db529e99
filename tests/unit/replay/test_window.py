"""What is replayed stays behind: never more than a window is under way, and nothing is sent that finds no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from syncline.replay.run import pieces
from syncline.replay.window import Window
from syncline.runtime.scan import Part


class Ahead:
    """What is under way falls by `done` with each look."""

    def __init__(self, under_way: int, done: int) -> None:
        self.under_way, self.done, self.looks = under_way, done, 0

    async def look(self) -> int:
        self.looks += 1
        self.under_way = max(0, self.under_way - self.done)
        return self.under_way


async def test_it_looks_first_and_then_only_when_its_own_count_says_that_it_is_full() -> None:
    ahead = Ahead(0, 0)
    window = Window(ahead.look, 10, every=0)
    assert [await window.room(4, asyncio.Event()) for _ in range(2)] == [True, True]
    assert (ahead.looks, window.under_way) == (1, 8)


async def test_it_waits_until_there_is_room() -> None:
    ahead = Ahead(30, 5)
    window = Window(ahead.look, 10, every=0)
    assert await window.room(4, asyncio.Event())
    assert (ahead.looks, window.under_way) == (5, 9)


async def test_what_never_fits_goes_alone() -> None:
    ahead = Ahead(30, 15)
    assert await Window(ahead.look, 10, every=0).room(11, asyncio.Event())
    assert ahead.looks == 2


async def test_who_is_told_to_stop_does_not_wait() -> None:
    stop = asyncio.Event()
    stop.set()
    assert not await Window(Ahead(30, 0).look, 10).room(1, stop)


class Message(NamedTuple):
    offset: int


async def test_a_part_is_cut_and_each_piece_says_what_is_done_with_it() -> None:
    place = TopicPartition("t", 0)

    async def parts() -> AsyncIterator[Part]:
        yield Part(place, [Message(offset) for offset in (1, 2, 5, 6, 9)], 12)
        yield Part(place, [], 14)

    found: list[Any] = [([each.offset for each in part.records], part.at) async for part in pieces(parts(), 2)]
    assert found == [([1, 2], 3), ([5, 6], 7), ([9], 12), ([], 14)]
