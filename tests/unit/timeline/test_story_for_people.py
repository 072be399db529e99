"""What `syncline explain` prints, and the times that it takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import click
import pytest
from rich.console import Console

from syncline.cli.explain import view
from syncline.cli.running import Since
from syncline.timeline.entries import entries
from syncline.timeline.story import Story
from tests.unit.timeline.world import CONTACT, CUSTOMER, NAMES, change, message


def printed(**fields: str | None) -> str:
    event = message(NAMES.changes(CONTACT.kind), CONTACT.id, change(fields=fields).encode())
    screen = Console(file=StringIO(), width=200, force_terminal=True, color_system=None)
    screen.print(view(Story((CUSTOMER, CONTACT), list(entries([event], [CONTACT], NAMES)))))
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def test_names_time_stage_what_and_why_are_shown() -> None:
    text = printed(LastName="Lund", Title=None)
    assert f"{CUSTOMER} = {CONTACT}" in text
    for each in ("01-15 08:00:00.000", "change", "create captured in salesforce", "LastName=Lund, Title=(empty)"):
        assert each in text


def test_many_empty_fields_are_counted_and_long_values_are_cut() -> None:
    text = printed(LastName="x" * 200, **dict.fromkeys("abcd"))
    assert "4 empty" in text
    assert "a=(empty)" not in text
    assert text.count("x") == 80


def test_records_cannot_command_the_terminal_or_the_markup() -> None:
    text = printed(LastName="\x1b[2J\x07[red]z[/red]\u202e")
    assert "\x1b[2J" not in text
    assert not {"\x07", "\u202e"} & set(text)
    assert "[red]z[/red]" in text


@pytest.mark.parametrize(
    ("typed", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
    ],
)
def test_since_takes_a_span(typed: str, ago: timedelta) -> None:
    assert abs(datetime.now(UTC) - ago - Since().convert(typed, None, None)) < timedelta(seconds=5)


def test_since_takes_a_time_which_is_utc_unless_it_says() -> None:
    assert Since().convert("2026-11-21T10:00", None, None) == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert Since().convert("2026-11-21T10:00+02:00", None, None) == datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.mark.parametrize("typed", ["yesterday", "5w", "", "-3d"])
def test_since_refuses_what_is_neither(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="2h, 3d"):
        Since().convert(typed, None, None)
