"""An object is read again between its polls: a page at a time, live changes first, and on no changes topic."""

from __future__ import annotations

from typing import Any

import pytest

from services.poller.sources import Page
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.replay import Replay
from syncline.state.leases import LeaseLost
from syncline.state.resyncs import Resync, Wanted
from tests.unit.poller.world import COMPANY, NAMES, NOW, Scripted, World, change

A, B = {"key": "a"}, {"key": "b"}
LIVE = {"at": 1}


def page(position: dict[str, Any], *keys: str, remaining: int | None = None) -> Page:
    return Page([change(key) for key in keys], position, remaining)


def asked(**wanted: Any) -> Resync:
    return Resync(1, Wanted(COMPANY, **wanted), NOW, None, 0, None, (), None, None)


def world_of(source: Scripted, *resyncs: Resync) -> World:
    world = World([source])
    world.outside.resyncs += resyncs
    return world


async def test_live_changes_come_first_then_page_after_page_each_stored_when_it_is_published() -> None:
    source = Scripted(script=[page(LIVE, "live")], whole=[page(A, "1", "2", remaining=1), page(B, "3")])
    world = world_of(source, asked(pipelines=frozenset({"up"})))
    await world.read(source)
    assert world.outside.done == [
        *("published live", f"stored {LIVE}"),
        *("published 1", "published 2", f"resynced {A}", "published 3", f"resynced {B}", f"resynced {B}"),
    ]
    topics = [message.topic for message in world.outside.messages]
    assert topics == [NAMES.changes(COMPANY), *[NAMES.replay] * 3]
    assert {Replay.of(headers) for headers in world.outside.headers[1:]} == {Replay(False, frozenset({"up"}))}
    [done] = world.outside.resyncs
    assert (done.read, done.remaining, done.done_at, done.why) == (3, 0, NOW, None)
    assert source.asked_again == [(None, None)]


@pytest.mark.parametrize("where", ["publish_trouble", "store_trouble"])
async def test_after_trouble_it_goes_on_at_what_is_stored(where: str) -> None:
    source = Scripted(whole=[page(A, "1"), page(B, "2")])
    world = world_of(source, asked())
    setattr(world.outside, where, [None, Transient("away")])
    await world.read(source)
    assert source.asked_again == [(None, None), (A, None)]
    assert [each.ref.id for each in world.outside.events()][:2] == ["1", "2"]
    assert world.outside.resyncs[0].done_at == NOW


async def test_who_lost_the_lease_stores_nothing_and_stops() -> None:
    source = Scripted(whole=[page(A, "1"), page(B, "2")])
    world = world_of(source, asked())
    world.outside.store_trouble = [LeaseLost("another has it")]
    await world.read(source)
    assert world.outside.done == ["published 1"]
    assert world.outside.resyncs[0].position is None


async def test_certain_records_are_fetched_and_what_is_missing_is_told() -> None:
    source = Scripted(records={"1": change("1")})
    world = world_of(source, asked(ids=("1", "2")))
    await world.read(source)
    assert source.asked == [["1", "2"]]
    [done] = world.outside.resyncs
    assert (done.read, done.missing, done.remaining, done.done_at) == (1, ("2",), 0, NOW)
    assert [message.topic for message in world.outside.messages] == [NAMES.replay]


async def test_what_needs_a_person_ends_the_resync_and_not_the_polls() -> None:
    source = Scripted(script=[page(LIVE, "live")], refusal=Fatal("the field is gone"))
    world = world_of(source, asked(ids=("1",)))
    await world.read(source)
    [given_up] = world.outside.resyncs
    assert (given_up.why, given_up.done_at) == ("the field is gone", NOW)
    assert world.metric("polls_total", outcome="paused") is None


async def test_without_room_before_the_mapper_nothing_is_read_until_the_next_look() -> None:
    source = Scripted(whole=[page(A, "1")])
    world = world_of(source, asked())
    world.under_way = 1
    await world.read(source)
    assert (world.outside.done, source.asked_again) == ([], [])
