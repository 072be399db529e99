from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncline.simorg import Org
from syncline.simorg.replication import deleted, updated
from tests.unit.simorg.world import Clock, create, delete, refused, update


def at(hour: int, minute: int = 0, second: int = 0, day: int = 20) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def test_updated_holds_new_and_changed_records_of_the_whole_minutes(org: Org, clock: Clock) -> None:
    table = org.store.table("Account")
    old = create(org, "Account", Name="Old")
    clock.advance(minutes=5)
    new = create(org, "Account", Name="New")
    assert updated(table, at(10, 5, 59), at(10, 6, 59), clock())["ids"] == [new]
    update(org, "Account", old, Phone="1")
    clock.advance(minutes=1)
    assert updated(table, at(10, 5), at(10, 6), clock()) == {
        "ids": [old, new],
        "latestDateCovered": "2026-11-20T10:06:00.000+0000",
    }


def test_covered_time_never_passes_now(org: Org, clock: Clock) -> None:
    answer = updated(org.store.table("Account"), at(9), at(23), clock())
    assert answer["latestDateCovered"] == "2026-11-20T10:00:00.000+0000"


def test_deleted_holds_deletions_with_their_time(org: Org, clock: Clock) -> None:
    account = create(org, "Account", Name="A")
    create(org, "Account", Name="B")
    clock.advance(seconds=30)
    delete(org, "Account", account)
    clock.advance(minutes=2)
    table = org.store.table("Account")
    assert deleted(table, at(10), at(10, 1), clock()) == {
        "deletedRecords": [{"id": account, "deletedDate": "2026-11-20T10:00:30.000+0000"}],
        "earliestDateAvailable": "2026-11-05T10:02:00.000+0000",
        "latestDateCovered": "2026-11-20T10:01:00.000+0000",
    }
    assert account not in updated(table, at(10), at(10, 1), clock())["ids"]


@pytest.mark.parametrize(
    ("start", "end"), [(at(10), at(10)), (at(10, 0, 1), at(10, 0, 59)), (at(11), at(10)), (at(10, day=1), at(11))]
)
def test_windows_out_of_order_or_reach_are_refused(org: Org, clock: Clock, start: datetime, end: datetime) -> None:
    with refused("INVALID_REPLICATION_DATE"):
        deleted(org.store.table("Account"), start, end, clock())
