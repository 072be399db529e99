"""What one poll asks for, and what it makes of the rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.poller.cursor import Position, Seen, window
from services.poller.sources import Page
from services.poller.sources.salesforce import Pace, spread
from syncline.contracts.change import Change
from syncline.contracts.errors import Fatal, SessionExpired, Throttled, Transient
from syncline.contracts.ref import Ref
from tests.unit.poller.org import ACCOUNT, START, THROTTLED, World

AT = Position("2026-11-20T09:00:00.000Z", "0015e00000Ab1CdAAJ")


def bounds(position: Position | None = AT, *, settled: datetime | None = None, now: datetime = START) -> list[float]:
    """Of the window, in seconds behind START."""
    found = window(position, now=now, settled=settled, lag=2, overlap=300, first_days=1)
    return [(START - moment).total_seconds() for moment in (found.low, found.high)]


async def read(source: Any, position: dict[str, Any] | None = None) -> list[Page]:
    return [page async for page in source.pages(position)]


async def changes(source: Any, position: dict[str, Any] | None = None) -> list[Change]:
    return [change for page in await read(source, position) for change in page.changes]


def after_start() -> dict[str, Any]:
    return Position("2026-11-20T09:59:00.000Z", "").document()


def test_the_first_poll_looks_back_by_days_and_stays_behind_the_servers_clock() -> None:
    assert bounds(None) == [86_400, 2]


def test_a_poll_reads_an_overlap_again_until_no_late_row_is_expected() -> None:
    assert bounds() == [3_900, 2]
    assert bounds(settled=START - timedelta(seconds=3_500)) == [3_800, 2]
    assert bounds(settled=START - timedelta(seconds=32)) == [3_600, 2]


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)])
def test_a_servers_clock_that_jumped_once_skips_nothing(jump: timedelta) -> None:
    assert bounds(settled=START + jump)[0] >= 3_600


def test_the_upper_bound_is_a_whole_second() -> None:
    assert bounds(now=START + timedelta(seconds=0.9))[1] == 2


async def test_a_first_poll_is_a_snapshot_and_later_ones_tell_what_happened() -> None:
    world = World()
    source = world.source()
    key = world.write("Acme", Phone="1")
    world.tick(5)
    (page,) = await read(source)
    (snapshot,) = page.changes
    assert (snapshot.op, snapshot.fields, snapshot.complete) == ("snapshot", {"Name": "Acme", "Phone": "1"}, True)
    assert (snapshot.version, snapshot.time) == ("2026-11-20T10:00:00.000Z",) * 2
    assert (snapshot.origin, snapshot.instance, snapshot.ref.id) == (world.org.user_id, "main", key)
    new = world.write("New")
    world.write("Acme 2", id=key)
    world.tick(5)
    found = {change.ref.id: change for change in await changes(source, page.position)}
    assert (found[new].op, found[new].fields) == ("create", {"Name": "New", "Phone": None})
    assert (found[key].op, found[key].fields) == ("update", {"Name": "Acme 2", "Phone": None})
    world.write("Acme 2", id=key, deleted=True)
    world.tick(5)
    (gone,) = await changes(source, page.position)
    assert (gone.op, gone.fields, gone.complete) == ("delete", {}, True)


async def test_a_first_poll_that_finds_nothing_is_still_the_first() -> None:
    world = World()
    source = world.source()
    (page,) = await read(source)
    assert page.changes == []
    world.write("Acme")
    world.tick(5)
    (created,) = await changes(source, page.position)
    assert created.op == "create"


async def test_a_second_that_is_not_over_is_not_read() -> None:
    world = World()
    source = world.source()
    key = world.write("a")
    world.tick(1.9)
    assert await changes(source, after_start()) == []
    world.tick(0.1)
    assert [change.ref.id for change in await changes(source, after_start())] == [key]


async def test_what_was_published_is_known_and_what_failed_is_not() -> None:
    world = World()
    source = world.source()
    world.write("a")
    world.tick(5)
    failed = source.pages(after_start())
    assert len((await anext(failed)).changes) == 1
    await failed.aclose()
    assert len(await changes(source, after_start())) == 1
    assert await changes(source, after_start()) == []


async def test_an_equal_version_with_other_content_is_a_change() -> None:
    world = World()
    source = world.source()
    key = world.write("a")
    world.tick(5)
    first = await changes(source, after_start())
    world.write("b", id=key, late=5)
    second = await changes(source, after_start())
    assert [change.version for change in first] == [change.version for change in second]
    assert [change.fields["Name"] for change in second] == ["b"]


async def test_a_parents_field_is_read_through_the_relationship() -> None:
    world = World()
    parent = world.write("Parent")
    child = world.write("Child", ParentId=parent)
    world.tick(5)
    source = world.source(fields=("Name", "Parent.Name", "Parent.Owner.Username"))
    found = {change.ref.id: change.fields for change in await changes(source)}
    assert found[child] == {
        "Name": "Child",
        "Parent.Name": "Parent",
        "Parent.Owner.Username": world.org.options.username,
    }
    assert found[parent] == {"Name": "Parent", "Parent.Name": None, "Parent.Owner.Username": None}


async def test_a_field_in_another_spelling_is_named() -> None:
    world = World()
    world.write("a")
    world.tick(5)
    with pytest.raises(Fatal, match="salesforce/Account has no phone"):
        await changes(world.source(fields=("phone",)))


async def test_a_dead_locator_is_continued_behind_the_last_row() -> None:
    world = World(page=2)
    keys = {world.write(f"Company {number}") for number in range(7)}
    world.tick(5)
    world.dead_locators = 2
    found = await changes(world.source())
    assert sorted(change.ref.id for change in found) == sorted(keys)
    assert len(world.statements) == 3


async def test_after_a_mass_update_an_object_at_rest_is_not_read_over_and_over() -> None:
    world = World(page=100)
    for number in range(40):
        world.write(f"Company {number}")
        world.tick(1)
    source = world.source(overlap=60)
    position: dict[str, Any] | None = None
    rows = []
    for _ in range(5):
        world.tick(30)
        for page in await read(source, position):
            position = page.position
        rows.append(world.org.query(world.statements[-1], include_deleted=True).total)
    assert rows[0] == 40
    assert rows[-1] == 1


async def test_records_asked_for_are_found_by_either_form_of_their_id_or_named() -> None:
    world = World()
    a, b, deleted = world.write("a"), world.write("b"), world.write("c", deleted=True)
    world.tick(5)
    fresh = world.write("changed a moment ago")
    found = await world.source().fetch([a, b[:15], deleted, fresh, "001000000000000AAA", "no id' OR Name != '"])
    assert {change.ref.id: change.op for change in found.changes} == {a: "snapshot", b: "snapshot"}
    assert found.missing == [deleted, "001000000000000AAA", "no id' OR Name != '"]
    assert len(world.statements) == 1


async def test_asking_for_nothing_that_can_exist_costs_no_query() -> None:
    world = World()
    assert (await world.source().fetch(["x"])).missing == ["x"]
    assert world.statements == []


class Pause:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_a_throttled_object_slows_all_objects_of_its_org_down() -> None:
    world, time = World(), Pause()
    pace = Pace(time.clock, time.sleep)
    first, second = world.source(pace=pace), world.source(pace=pace)
    world.failing = THROTTLED
    with pytest.raises(Throttled):
        await read(first)
    world.failing = None
    await read(second)
    assert time.now == 60


async def test_a_large_first_read_leaves_room_for_what_the_next_poll_reads_again() -> None:
    world = World(page=2)
    for number in range(10):
        world.write(f"Company {number}")
        world.tick(60)
    source = world.source(overlap=120, memory=4)
    position: dict[str, Any] | None = None
    for page in await read(source):
        position = page.position
    assert await changes(source, position) == []


async def test_a_session_that_expires_again_is_a_passing_failure() -> None:
    world = World()
    world.failing = SessionExpired("INVALID_SESSION_ID")
    with pytest.raises(Transient, match="salesforce/Account: INVALID_SESSION_ID"):
        await read(world.source())


async def test_without_a_server_time_nothing_is_read() -> None:
    world = World()

    async def no_date(_: Any) -> None: ...

    world.request = no_date  # type: ignore[method-assign]
    with pytest.raises(Transient, match="no Date"):
        await read(world.source())


def test_polls_spread_as_the_quota_is_used_up() -> None:
    shares = [0.0, 0.4, 0.6, 0.8, 1.0, 1.3]
    intervals = [spread(30, share) for share in shares]
    assert intervals[:2] == [30, 30]
    assert intervals == sorted(intervals)
    assert intervals[3:] == [600, 600, 600]


def test_the_memory_of_events_is_bounded_by_age_and_by_count() -> None:
    def event(second: int) -> Change:
        stamp = f"2026-11-20T10:00:{second:02d}.000Z"
        return Change(ref=Ref(*ACCOUNT, AT.id), instance="main", op="update", version=stamp, time=stamp, fields={})

    seen = Seen(3)
    events = [event(second) for second in range(5)]
    seen.add(events)
    assert len(seen) == 3
    assert seen.fresh(events) == events[3:]
    seen.forget(events[2].version)
    assert seen.fresh(events) == [*events[:2], *events[3:]]
    seen.add(events[3:])
    assert seen.fresh(events) == events[:2]


async def test_what_changed_without_its_stamp_is_no_older_than_what_was_known_of_it() -> None:
    world = World()
    key = world.write("Acme", late=600)
    world.tick(60)
    known = {key: "2026-11-20T09:55:00.000Z"}
    (met,) = (await world.source().fetch([key], known)).changes
    (unmet,) = (await world.source().fetch([key])).changes
    assert (met.version, unmet.version) == ("2026-11-20T09:55:00.000Z", "2026-11-20T09:50:00.000Z")
    assert (met.op, met.fields["Name"]) == ("snapshot", "Acme")


async def test_what_was_known_and_is_in_the_recycle_bin_is_deleted_and_what_nobody_sees_is_missing() -> None:
    world = World()
    key, other = (world.write("Acme", deleted=True) for _ in range(2))
    hidden = "0015e00000Ab1CdAAJ"
    world.tick(60)
    found = await world.source().fetch([key, other, hidden], {key: "2026-11-20T09:00:00.000Z", hidden: "1"})
    assert [(change.ref.id, change.op, change.fields) for change in found.changes] == [(key, "delete", {})]
    assert found.missing == [other, hidden]
