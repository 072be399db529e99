"""Waiting for what is not there yet: as long as it takes, until told to stop, and for no other error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from syncline.contracts.errors import Fatal, SynclineError, Transient
from syncline.runtime import waiting
from syncline.runtime.waiting import patiently, pause, until

Action = Callable[[], Awaitable[str]]


class Late(random.Random):
    """Always draws the highest."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each wait, none of which is really waited."""
    taken: list[float] = []

    async def take(seconds: float, stop: asyncio.Event) -> None:
        taken.append(seconds)

    monkeypatch.setattr(waiting, "pause", take)
    return taken


def failing(*errors: SynclineError) -> Action:
    left = list(errors)

    async def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


async def wait(action: Action, stop: asyncio.Event | None = None) -> str:
    return await patiently(action, "Kafka", stop=stop or asyncio.Event(), rng=Late())


async def test_what_works_at_once_is_not_waited_for(waits: list[float]) -> None:
    assert await wait(failing()) == "done"
    assert waits == []


async def test_the_action_is_repeated_with_growing_waits(waits: list[float]) -> None:
    assert await wait(failing(*[Transient("not yet")] * 4)) == "done"
    assert waits == [0.5, 1, 2, 4]


async def test_who_waits_is_alive(waits: list[float]) -> None:
    beats: list[int] = []
    action = failing(*[Transient("not yet")] * 3)
    told = await patiently(action, "Kafka", stop=asyncio.Event(), rng=Late(), beat=lambda: beats.append(len(waits)))
    assert (told, beats) == ("done", [0, 1, 2])


async def test_the_peers_own_hint_is_kept_to(waits: list[float]) -> None:
    assert await wait(failing(Transient("not yet", retry_after=9), Transient("not yet", retry_after=0.1))) == "done"
    assert waits == [9, 1]


async def test_an_error_that_waiting_cannot_help_is_raised_at_once(waits: list[float]) -> None:
    with pytest.raises(Fatal, match="wrong password"):
        await wait(failing(Transient("not yet"), Fatal("wrong password"), Transient("never reached")))
    assert waits == [0.5]


async def test_who_is_told_to_stop_gets_the_last_error(waits: list[float]) -> None:
    stop = asyncio.Event()

    async def action() -> str:
        assert len(waits) < 9, "it does not stop"
        if len(waits) == 2:
            stop.set()
        raise Transient(f"try {len(waits)}")

    with pytest.raises(Transient, match="try 2"):
        await wait(action, stop)
    assert len(waits) == 2


async def test_a_pause_ends_when_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    sleeping = asyncio.create_task(pause(3600, stop))
    await asyncio.sleep(0)
    assert not sleeping.done()
    stop.set()
    async with asyncio.timeout(5):
        await sleeping


async def test_a_pause_ends_by_itself() -> None:
    async with asyncio.timeout(5):
        await pause(0.001, asyncio.Event())


async def test_what_is_waited_for_is_cancelled_to_its_end_when_told_to_stop() -> None:
    stop, said = asyncio.Event(), []

    async def wait() -> None:
        try:
            stop.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            said.append("cleared up")

    async with asyncio.timeout(5):
        await until(stop, wait())
    assert said == ["cleared up"]


async def test_what_fails_while_it_is_waited_for_is_told() -> None:
    with pytest.raises(Transient, match="gone"):
        await until(asyncio.Event(), failing(Transient("gone"))())
