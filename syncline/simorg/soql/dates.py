"""SOQL's relative date literals, each a range of days.

Everything is in UTC, weeks begin on Sunday, the fiscal year is the calendar year: an org with the en_US locale and no
time zone of its own. Rules: "Date Formats and Date Literals in WHERE" in the SOQL and SOSL Reference.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

_SHAPE = re.compile(
    r"(?:(?P<when>LAST|THIS|NEXT)_(?P<unit>WEEK|MONTH|(?:FISCAL_)?QUARTER|(?:FISCAL_)?YEAR)"
    r"|(?P<ninety>LAST|NEXT)_90_DAYS"
    r"|(?P<n_when>LAST|NEXT)_N_(?P<n_unit>DAY|WEEK|MONTH|(?:FISCAL_)?QUARTER|(?:FISCAL_)?YEAR)S:(?P<n>\d+)"
    r"|N_(?P<ago_unit>DAY|WEEK|MONTH|(?:FISCAL_)?QUARTER|(?:FISCAL_)?YEAR)S_AGO:(?P<ago>\d+))"
)
_DAYS = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_SHIFT = {"LAST": -1, "THIS": 0, "NEXT": 1}


def day_range(literal: str, today: date) -> tuple[date, date]:
    """First day, and the day after the last. Raises ValueError for what is no date literal."""
    name = literal.upper()
    if name in _DAYS:
        return _units("DAY", today, _DAYS[name], _DAYS[name] + 1)
    match = _SHAPE.fullmatch(name)
    if match is None:
        raise ValueError(literal)
    if match["when"]:
        shift = _SHIFT[match["when"]]
        return _units(match["unit"], today, shift, shift + 1)
    if match["ago"]:
        count = int(match["ago"])
        return _units(match["ago_unit"], today, -count, 1 - count)
    unit, count = (match["n_unit"], int(match["n"])) if match["n"] else ("DAY", 90)
    if (match["n_when"] or match["ninety"]) == "NEXT":
        return _units(unit, today, 1, 1 + count)
    return _units(unit, today, -count, 1 if unit == "DAY" else 0)  # LAST_N_DAYS alone includes today


def _units(unit: str, today: date, first: int, end: int) -> tuple[date, date]:
    """From the unit `first` units away from today's to the one before `end`. Raises ValueError outside the calendar."""
    try:
        return _start(unit, today, first), _start(unit, today, end)
    except OverflowError as exc:
        raise ValueError(str(exc)) from exc


def _start(unit: str, today: date, shift: int) -> date:
    if unit == "DAY":
        return today + timedelta(days=shift)
    if unit == "WEEK":
        return today - timedelta(days=today.isoweekday() % 7) + timedelta(weeks=shift)
    length = _MONTHS[unit.removeprefix("FISCAL_")]
    months = (today.year * 12 + today.month - 1) // length * length + shift * length
    return date(months // 12, months % 12 + 1, 1)
