"""Live is who beats in time, ready is who says so; the two have nothing to do with each other."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.runtime.health import Health


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def after(seconds: float, health: Health, clock: Clock) -> bool:
    """Whether it is live so much later."""
    clock.now += seconds
    return health.live


def test_a_process_that_has_just_begun_is_live_and_not_ready() -> None:
    health = Health(clock=Clock())
    assert health.live
    assert not health.ready


def test_who_stops_beating_is_no_longer_live() -> None:
    clock = Clock()
    health = Health(clock=clock, patience=10)
    assert after(9.9, health, clock)
    assert not after(0.1, health, clock)


def test_each_beat_gives_the_whole_patience_again() -> None:
    clock = Clock()
    health = Health(clock=clock, patience=10)
    for _ in range(5):
        assert after(9, health, clock)
        health.beat()
    assert not after(10, health, clock)
    health.beat()
    assert after(9, health, clock)


def test_ready_is_what_was_said_last() -> None:
    clock = Clock()
    health = Health(clock=clock, patience=10)
    health.set_ready(True)
    clock.now += 60
    assert (health.ready, health.live) == (True, False)
    health.set_ready(False)
    health.beat()
    assert (health.ready, health.live) == (False, True)


def test_a_pass_may_take_two_minutes_by_default() -> None:
    clock = Clock()
    health = Health(clock=clock)
    clock.now += 119
    assert health.live


def test_each_process_has_a_registry_of_its_own() -> None:
    assert Health().registry is not Health().registry
