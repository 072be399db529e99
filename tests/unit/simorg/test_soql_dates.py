from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.simorg.soql.dates import day_range

TODAY = date(2026, 11, 20)  # a Friday


@pytest.mark.parametrize(
    ("literal", "first", "last"),
    [
        ("TODAY", "2026-11-20", "2026-11-20"),
        ("yesterday", "2026-11-19", "2026-11-19"),
        ("TOMORROW", "2026-11-21", "2026-11-21"),
        ("LAST_WEEK", "2026-11-08", "2026-11-14"),
        ("THIS_WEEK", "2026-11-15", "2026-11-21"),
        ("NEXT_WEEK", "2026-11-22", "2026-11-28"),
        ("LAST_MONTH", "2026-10-01", "2026-10-31"),
        ("NEXT_MONTH", "2026-12-01", "2026-12-31"),
        ("THIS_QUARTER", "2026-10-01", "2026-12-31"),
        ("NEXT_FISCAL_QUARTER", "2027-01-01", "2027-03-31"),
        ("LAST_YEAR", "2025-01-01", "2025-12-31"),
        ("LAST_90_DAYS", "2026-08-22", "2026-11-20"),
        ("NEXT_90_DAYS", "2026-11-21", "2027-02-18"),
        ("LAST_N_DAYS:2", "2026-11-18", "2026-11-20"),
        ("NEXT_N_DAYS:2", "2026-11-21", "2026-11-22"),
        ("LAST_N_WEEKS:2", "2026-11-01", "2026-11-14"),
        ("LAST_N_MONTHS:11", "2025-12-01", "2026-10-31"),
        ("NEXT_N_QUARTERS:1", "2027-01-01", "2027-03-31"),
        ("N_DAYS_AGO:7", "2026-11-13", "2026-11-13"),
        ("N_FISCAL_YEARS_AGO:1", "2025-01-01", "2025-12-31"),
    ],
)
def test_literal_covers(literal: str, first: str, last: str) -> None:
    start, end = day_range(literal, TODAY)
    assert (start.isoformat(), (end - timedelta(days=1)).isoformat()) == (first, last)


@pytest.mark.parametrize("literal", ["NOW", "LAST_N_DAYS", "LAST_N_DAYS:x", "THIS_DAY", "N_DAYS_AGO:99999999"])
def test_anything_else_is_no_date(literal: str) -> None:
    with pytest.raises(ValueError):
        day_range(literal, TODAY)


@given(st.dates(date(1800, 1, 1), date(3900, 1, 1)), st.sampled_from(["WEEK", "MONTH", "QUARTER", "YEAR"]))
def test_units_follow_each_other_without_gap_and_hold_today(today: date, unit: str) -> None:
    last, this, following = (day_range(f"{when}_{unit}", today) for when in ("LAST", "THIS", "NEXT"))
    assert last[1] == this[0] <= today < this[1] == following[0]
