"""At least once, never fewer; and trouble with one object stays with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.poller import loop as loop_module
from services.poller.sources import Page
from syncline.contracts.errors import Fatal, Throttled, Transient
from syncline.contracts.topics import EVENT_BYTES
from syncline.state.leases import LeaseLost
from tests.unit.poller.world import COMPANY, CUSTOMER, Scripted, World, change

A, B = {"at": 1}, {"at": 2}


def page(position: dict[str, Any], *keys: str) -> Page:
    return Page([change(key) for key in keys], position)


async def test_a_position_is_stored_after_its_page_is_published() -> None:
    source = Scripted(script=[page(A, "1", "2"), page(B, "3")])
    world = World([source])
    await world.read(source)
    assert world.outside.done == ["published 1", "published 2", f"stored {A}", "published 3", f"stored {B}"]
    assert [event.ref.id for event in world.outside.events()] == ["1", "2", "3"]
    assert {message.topic for message in world.outside.messages} == {"test.changes.hub.company"}
    assert world.metric("events_total", op="update") == 3


async def test_a_page_that_the_broker_refused_is_read_again_from_the_stored_position() -> None:
    source = Scripted(script=[page(A, "1"), page(B, "2")])
    world = World([source])
    world.outside.publish_trouble = [None, Transient("no broker")]
    await world.read(source)
    assert source.at == [None, A]
    assert world.outside.done == ["published 1", f"stored {A}", "published 2", f"stored {B}"]
    assert world.metric("polls_total", outcome="failed") == 1


async def test_a_page_whose_position_could_not_be_stored_is_published_again_with_the_same_ids() -> None:
    source = Scripted(script=[page(A, "1")])
    world = World([source])
    world.outside.store_trouble = [Transient("no database")]
    await world.read(source)
    first, second = world.outside.events()
    assert first.id == second.id
    assert world.outside.positions[COMPANY] == A


async def test_an_unchanged_position_is_not_stored() -> None:
    source = Scripted(script=[page(A)])
    world = World([source])
    world.outside.positions[COMPANY] = A
    await world.read(source)
    assert world.outside.done == []


async def test_who_lost_the_lease_stops_reading() -> None:
    source = Scripted(script=[page(A, "1"), page(B, "2")])
    world = World([source])
    world.outside.store_trouble = [LeaseLost("another has it")]
    await world.read(source)
    assert world.outside.done == ["published 1"]
    assert world.metric("lag_seconds") is None


async def test_it_stops_between_two_pages() -> None:
    source = Scripted(script=[page(A, "1"), page(B, "2")])
    world = World([source])
    world.stop.set()
    await world.read(source)
    assert world.outside.done == []
    world = World([source])
    publish = world.outside.publish

    async def stop_meanwhile(messages: Any) -> None:
        world.stop.set()
        await publish(messages)

    world.outside.publish = stop_meanwhile  # type: ignore[method-assign,assignment]
    await world.read(source)
    assert world.outside.done == ["published 1", f"stored {A}"]


@pytest.mark.parametrize("trouble", [Fatal("the field Tier__c is gone"), ZeroDivisionError("a bug")])
async def test_an_object_that_needs_a_person_pauses_alone_and_goes_on_when_it_is_put_right(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pause(seconds: float, stop: asyncio.Event) -> None:
        pauses.append(seconds)
        paused.set()
        await go_on.wait()

    monkeypatch.setattr(loop_module, "pause", pause)
    bad, good = Scripted(script=[trouble, page(A, "1")]), Scripted(CUSTOMER, [page(B, "2")])
    world = World([bad, good])
    reading = asyncio.create_task(world.read(bad))
    async with asyncio.timeout(10):
        await paused.wait()
    assert world.metric("paused") == 1
    other = World([good], world.outside)
    await other.read(good)
    assert world.outside.done == ["published 2", f"stored {B}"]
    go_on.set()
    await reading
    assert pauses == [loop_module.PAUSE]
    assert world.outside.positions == {COMPANY: A, CUSTOMER: B}


async def test_a_throttled_pass_waits_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def pause(seconds: float, stop: asyncio.Event) -> None:
        waits.append(seconds)

    monkeypatch.setattr(loop_module, "pause", pause)
    source = Scripted(script=[Throttled("TotalRequests Limit exceeded", 60), page(A, "1")])
    world = World([source])
    await world.read(source)
    assert waits == [60]
    assert world.metric("polls_total", outcome="throttled") == 1
    assert world.outside.positions[COMPANY] == A


async def test_what_no_event_can_carry_becomes_a_dead_letter_and_its_neighbours_go_out() -> None:
    large = change("large", fields={"name": "Acme", "notes": "x" * EVENT_BYTES})
    odd = change("odd", fields={"ratio": float("nan")})
    source = Scripted(script=[Page([change("1"), large, odd, change("2")], A)])
    world = World([source])
    await world.read(source)
    assert [event.ref.id for event in world.outside.events()] == ["1", "2"]
    too_large, malformed = world.outside.letters()
    assert (too_large.code, too_large.fields, too_large.ref) == ("EVENT_TOO_LARGE", ("notes",), "hub/company/large")
    assert (malformed.code, malformed.fields) == ("MALFORMED", ("data.fields.ratio",))
    assert {too_large.stage, malformed.stage} == {"poller"}
    assert world.outside.positions[COMPANY] == A
    assert world.metric("dead_letters_total") == 2
