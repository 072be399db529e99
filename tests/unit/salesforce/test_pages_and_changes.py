from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from syncline.contracts.errors import Fatal
from syncline.salesforce.pages import query_request, read_page, unfinished
from syncline.salesforce.replication import Deleted, Updated, changes_request, read_deleted, read_updated
from syncline.salesforce.versions import checked, newest

START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def test_queries_ask_for_deleted_rows_and_page_sizes_only_when_told() -> None:
    plain = query_request("SELECT Id FROM Account", include_deleted=False, page_size=2000)
    assert (plain.path, plain.query, plain.headers) == ("/query", {"q": "SELECT Id FROM Account"}, {})
    other = query_request("SELECT Id FROM Account", include_deleted=True, page_size=200)
    assert (other.path, other.headers) == ("/queryAll", {"Sforce-Query-Options": "batchSize=200"})


@pytest.mark.parametrize("content", [None, [], {}, {"records": []}])
def test_what_is_no_page_is_fatal(content: Any) -> None:
    with pytest.raises(Fatal):
        read_page(content)


def test_child_sets_that_are_cut_off_are_found_at_any_depth() -> None:
    def children(name: str, records: list[Any], rest: str | None = None) -> dict[str, Any]:
        return {name: {"done": rest is None, "records": records, **({"nextRecordsUrl": rest} if rest else {})}}

    record = {
        "Id": "1",
        "Owner": {"attributes": {}, **children("Teams", [], "/services/team")},
        "Parent": None,
        **children("Contacts", [{"Id": "2", **children("Cases", [], "/services/cases")}, {"Cases": None}]),
        **children("Notes", [{"Id": "3"}], "/services/notes"),
    }
    found = [child["nextRecordsUrl"] for child in unfinished([{"Id": "0"}, record])]
    assert found == ["/services/team", "/services/cases", "/services/notes"]


def test_changes_are_asked_for_in_utc() -> None:
    end = (START + timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    request = changes_request("Account", "updated", START, end)
    assert request.path == "/sobjects/Account/updated/"
    assert request.query == {"start": "2026-11-20T10:00:00+00:00", "end": "2026-11-20T11:00:00+00:00"}


@pytest.mark.parametrize("end", [START, START - timedelta(1), datetime(2026, 12, 1)])  # noqa: DTZ001
def test_a_stretch_of_time_runs_forward_and_has_a_zone(end: datetime) -> None:
    with pytest.raises(ValueError):
        changes_request("Account", "deleted", START, end)


def test_changes_are_read() -> None:
    updated = {"ids": ["0015e00000Ab1CdAAJ"], "latestDateCovered": "2026-11-20T10:05:00.000+0000"}
    covered = datetime(2026, 11, 20, 10, 5, tzinfo=UTC)
    assert read_updated(updated) == Updated(("0015e00000Ab1CdAAJ",), covered)
    deleted = {
        "deletedRecords": [{"id": "0015e00000Ab1CdAAJ", "deletedDate": "2026-11-20T10:01:17.000+0000"}],
        "earliestDateAvailable": "2026-11-05T00:00:00.000+0000",
        "latestDateCovered": "2026-11-20T10:05:00.000+0000",
    }
    when = datetime(2026, 11, 20, 10, 1, 17, tzinfo=UTC)
    assert read_deleted(deleted) == Deleted((("0015e00000Ab1CdAAJ", when),), datetime(2026, 11, 5, tzinfo=UTC), covered)


@pytest.mark.parametrize("content", [None, [], {}, {"ids": [], "deletedRecords": [], "latestDateCovered": "now"}])
def test_changes_in_another_form_are_fatal(content: Any) -> None:
    with pytest.raises(Fatal):
        read_updated(content)
    with pytest.raises(Fatal):
        read_deleted(content)


@pytest.mark.parametrize("version", ["57", "v57.0", "57.0"])
def test_versions_are_read_however_they_are_written(version: str) -> None:
    assert checked(version) == "57.0"


@pytest.mark.parametrize("version", ["56.0", "", "latest", "57.1", "-60.0"])
def test_versions_that_are_not_spoken_are_fatal(version: str) -> None:
    with pytest.raises(Fatal, match=r"57\.0"):
        checked(version)


def test_the_newest_version_counts_as_a_number() -> None:
    assert newest([{"version": "58.0"}, {"version": "100.0"}, {"version": "67.0"}]) == "100.0"


@pytest.mark.parametrize("content", [None, [], {}, [{"label": "x"}], [{"version": "new"}], [{"version": "40.0"}]])
def test_an_org_without_a_usable_version_is_fatal(content: Any) -> None:
    with pytest.raises(Fatal):
        newest(content)
