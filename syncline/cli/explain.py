"""`syncline explain`: what happened to one record, and what is true of it now."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from syncline.cli.running import Since, as_json, configured, printable, reading, run
from syncline.timeline.read import explain
from syncline.timeline.story import Story

STYLES = {"dead letter": "bold red", "conflict": "yellow", "held": "cyan", "result": "bold", "link": "green"}
VALUE = 80
"""Characters of a value that a person is shown; --json has all."""
EMPTY = 3
"""More empty fields of a record than this are only counted."""


@click.command("explain")
@click.argument("record")
@click.option(
    "--since", type=Since(), help="Leave out what is older: 90s, 15m, 2h, 3d, or a time (UTC unless it says)."
)
@as_json
def explain_command(record: str, since: datetime | None, as_json: bool) -> None:
    """What happened to RECORD: its events, holds, commands, conflicts, results and errors, in one timeline.

    RECORD is its id on either side: `003...`, `Contact/003...` or `salesforce/Contact/003...`. Reads the topics back;
    nothing is stored and no service notices.
    """

    async def go() -> Story:
        settings, config = configured()
        with reading() as progress:
            return await explain(record, settings, config, since=since, progress=progress)

    story: Story = run(go())
    if as_json:
        click.echo(json.dumps(story.document(), indent=2))
    else:
        Console().print(view(story))


def view(story: Story) -> RenderableType:
    table = Table(expand=False)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    table.add_column("what", ratio=2)
    table.add_column("why", ratio=3)
    for entry in story.entries:
        table.add_row(
            entry.at.strftime("%m-%d %H:%M:%S.") + f"{entry.at.microsecond // 1000:03}",
            Text(entry.stage, style=STYLES.get(entry.stage, "")),
            Text(printable(entry.what)),
            Text("\n".join(f"{name}: {_value(value)}" for name, value in entry.detail.items()), style="dim"),
        )
    return Group(Text(printable(" = ".join(map(str, story.refs))), style="bold"), table)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        empty = [name for name, each in value.items() if each is None]
        named = empty if len(empty) <= EMPTY else []
        shown = [f"{name}={_value(each)}" for name, each in value.items() if each is not None or name in named]
        return ", ".join([*shown, *([] if named or not empty else [f"{len(empty)} empty"])])
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if value is None:
        return "(empty)"
    text = printable(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= VALUE else f"{text[:VALUE]}..."
