"""A mapper is unwell when one partition stands still, though the rest moves, and when it no longer asks for records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from services.mapper import __main__ as mapper
from services.mapper.engine.progress import Progress
from syncline.runtime.health import Health

ONE, TWO = ("t", 1), ("t", 2)


def test_stuck_is_who_is_behind_and_does_not_move() -> None:
    progress = Progress(lag={ONE: 5, TWO: 0}, moved_at={ONE: 100.0, TWO: 0.0})
    assert progress.stuck(110.0, 30) == []
    assert progress.stuck(131.0, 30) == [ONE]
    progress.moved_at[ONE] = 120.0
    assert progress.stuck(131.0, 30) == []


def asks(progress: Progress) -> None:
    progress.looked_at = time.monotonic()


@pytest.mark.parametrize(
    ("begin", "step", "live"),
    [
        (Progress, asks, True),
        (Progress, lambda progress: None, False),
        (lambda: Progress(lag={ONE: 1}, moved_at={ONE: time.monotonic() - 99}), asks, False),
        (lambda: Progress(lag={ONE: 0}, moved_at={ONE: time.monotonic() - 99}), asks, True),
        (lambda: Progress(lag={ONE: 1}, moved_at={ONE: time.monotonic() + 99}), asks, True),
    ],
    ids=["idle", "no longer asking", "one stands still", "nothing to do", "moving"],
)
async def test_who_is_alive(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Progress], step: Callable[[Progress], None], live: bool
) -> None:
    monkeypatch.setattr(mapper, "LOOK", 0.001)
    progress, health, stop = begin(), Health(patience=0.2), asyncio.Event()
    watching = asyncio.create_task(mapper.watch(progress, health, stop))
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        step(progress)
        await asyncio.sleep(0.005)
    assert health.live == live
    stop.set()
    await watching


@pytest.mark.parametrize(
    ("progress", "ready"),
    [
        (Progress(assigned=frozenset({ONE}), recovering=False), True),
        (Progress(assigned=frozenset({ONE}), recovering=True), False),
        (Progress(assigned=frozenset({ONE}), recovering=False, following={TWO: 1_000_000}), True),
        (Progress(recovering=False, following={TWO: 1_000_000}), False),
        (Progress(recovering=False, following={TWO: 5}, caught_up=True), True),
        (Progress(recovering=True, following={TWO: 5}, caught_up=True), False),
        (Progress(recovering=False), False),
        (Progress(recovering=False, idle=True), True),
        (Progress(recovering=True, idle=True), False),
    ],
    ids=[
        "serves",
        "restores",
        "serves and is behind",
        "only follows and is behind",
        "could take over",
        "takes over",
        "is to follow, and has not begun",
        "idle",
        "was idle and restores",
    ],
)
async def test_who_is_ready(monkeypatch: pytest.MonkeyPatch, progress: Progress, ready: bool) -> None:
    monkeypatch.setattr(mapper, "LOOK", 0.001)
    health, stop = Health(), asyncio.Event()
    watching = asyncio.create_task(mapper.watch(progress, health, stop))
    await asyncio.sleep(0)
    assert health.ready == ready
    assert health.idle == (ready and progress.idle)
    stop.set()
    await watching
