"""`syncline held`: who waits for whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncline.cli.running import as_json, configured, limit, printable, reading, run
from syncline.timeline.held import Step, age, awaited
from syncline.timeline.read import held


@click.group("held")
def held_commands() -> None:
    """Records that wait for another one to be synced."""


@held_commands.command("list")
@limit
@as_json
def list_held(limit: int, as_json: bool) -> None:
    """Who is waiting for whom and for how long, the longest first."""

    async def go() -> list[Step]:
        settings, config = configured()
        with reading() as progress:
            return await held(settings, config, progress=progress)

    waiting: list[Step] = run(go())
    now = datetime.now(UTC)
    if as_json:
        told = [_document(step, now) for step in waiting[:limit]]
        click.echo(json.dumps({"count": len(waiting), "held": told}, indent=2))
        return
    if waiting:
        Console().print(_table(waiting[:limit], now))
    more = f", {limit:,} of them shown" if len(waiting) > limit else ""
    click.echo(f"{len(waiting):,} held{more}" if waiting else "nothing is held")


def _document(step: Step, now: datetime) -> dict[str, Any]:
    since = step.since or step.at
    return {
        "record": str(step.slot.child),
        "waits_for": str(step.slot.on),
        "pipeline": step.slot.pipeline,
        "field": step.slot.field,
        "since": since.isoformat(timespec="milliseconds"),
        "seconds": round((now - since).total_seconds(), 1),
    }


def _table(waiting: Sequence[Step], now: datetime) -> Table:
    table = Table("record", "waits for", "pipeline", "field")
    table.add_column("for", justify="right", no_wrap=True)
    for step in waiting:
        slot = step.slot
        names = (str(slot.child), awaited(slot.on, slot.child), slot.pipeline, slot.field or "")
        table.add_row(*(Text(printable(each), overflow="fold") for each in names), age(step, now))
    return table
