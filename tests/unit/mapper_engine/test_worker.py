"""What an engine refuses before it asks a broker."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from services.mapper.engine import Effects, Hop, Input, Reader, faust_seam, worker
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.versions import VERSIONS
from services.mapper.engine.worker import Engine
from syncline.contracts.errors import Fatal


def nothing(batch: Sequence[Input], stored: Reader) -> Effects:
    return Effects()


def settings(state_dir: Path) -> EngineSettings:
    return EngineSettings(kafka="127.0.0.1:1", app_id="app", partitions=1, state_dir=state_dir)


def test_two_hops_cannot_read_one_topic(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="topic t is read by hop a and by hop b"):
        Engine(settings(tmp_path), [Hop("a", ("t",), (), nothing), Hop("b", ("s", "t"), (), nothing)])


def test_a_table_belongs_to_one_hop(tmp_path: Path) -> None:
    """The order in which changelogs become safe is that of their hops."""
    with pytest.raises(Fatal, match="table t is changed by hop a and by hop b"):
        Engine(settings(tmp_path), [Hop("a", ("x",), ("t",), nothing), Hop("b", ("y",), ("t",), nothing)])


async def test_other_versions_than_those_known_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "aiokafka", "0.13.0")
    found = importlib.metadata.version("aiokafka")
    with pytest.raises(Fatal, match=f"aiokafka {found} is installed where the mapper needs exactly 0.13.0"):
        await Engine(settings(tmp_path), []).run(asyncio.Event())


def test_the_batches_of_a_rebalance_fit_into_its_time(tmp_path: Path) -> None:
    """Else a worker whose broker is slow would be thrown out of the group in the middle of a batch."""
    given = settings(tmp_path)
    hops = 2
    assert (1 + hops) * given.delivery_timeout < 0.9 * given.rebalance_timeout


def test_what_earlier_owners_said_is_read_before_the_first_hop_goes_on() -> None:
    """What the first hop says is handed over, and would overtake it."""
    consumer: Any = object.__new__(faust_seam.Consumer)
    first, second, other = TP("changes", 0), TP("mapped", 0), TP("mapped", 1)
    active = frozenset({first, second, other})
    consumer._order = {"changes": 0, "mapped": 1}
    consumer._unread, consumer._positions = {second: 5, other: 3}, {first: 0, second: 0, other: 3}
    assert consumer._due(active) == {second, other}
    consumer._positions[second] = 4
    assert consumer._due(active) == {second, other}
    consumer._positions[second] = 5
    assert consumer._due(active) == active
    consumer._positions[second] = 0
    assert consumer._due(active) == active, "only what was there at the assignment comes first"


class App:
    """As much of Faust's as is asked when it is to stop."""

    def __init__(self, stop: Callable[[], Awaitable[None]]) -> None:
        self.stop = stop
        self.consumer = SimpleNamespace(_thread=SimpleNamespace(thread_loop=asyncio.get_running_loop()))


async def test_faust_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to lose by then. What it waits for is told."""
    go_on = asyncio.Event()

    async def hangs() -> None:
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    monkeypatch.setattr(worker, "STOP_TIMEOUT", 0.01)
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            await worker._end(App(hangs))
    go_on.set()
    [said] = logs
    assert said["event"] == "Faust did not stop in time"
    assert any(each.startswith("Event.wait:") for each in said["left"])


async def test_what_faust_fails_with_as_it_stops_is_raised() -> None:
    async def fails() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await worker._end(App(fails))
