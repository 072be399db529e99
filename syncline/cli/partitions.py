"""`syncline partitions`: more partitions for every topic, and everything moved to where its key then tells."""

from __future__ import annotations

import json
from typing import Any

import click

from syncline.cli.running import as_json, configured, reading, run
from syncline.partitions.change import Change, carry_out, look


@click.command("partitions")
@click.option("--to", "count", type=click.IntRange(1, 1000), help="So many; SYNCLINE_PARTITIONS when not given.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and what is in the way.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@as_json
def partitions_command(count: int | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Give every topic more partitions, and move what lies by its key.

    All services must be stopped; what is still on its way is sent again to where it belongs. Kafka takes no partition
    away again. A run that was cut off is finished by running it again: no service starts before. Afterwards set
    SYNCLINE_PARTITIONS everywhere, and start the services.
    """

    async def plan() -> Change:
        settings, config = configured()
        with reading() as progress:
            return await look(settings, config, count or settings.partitions, progress=progress)

    async def go(change: Change) -> None:
        settings, config = configured()
        with reading() as progress:
            await carry_out(change, settings, config, progress=progress, say=lambda said: click.echo(said, err=as_json))

    change: Change = run(plan())
    document = _document(change)
    if not as_json:
        for line in _lines(change):
            click.echo(line)
    if dry_run or not change.needed:
        if as_json:
            click.echo(json.dumps({**document, "done": not change.needed}, indent=2))
        return
    if as_json and not yes:
        click.echo(json.dumps({**document, "done": False, "next": "add --yes to do this"}, indent=2))
        return
    if not yes:
        click.confirm("do this?", abort=True, err=True)
    run(go(change))
    if as_json:
        click.echo(json.dumps({**document, "done": True}, indent=2))
        return
    click.echo(f"done: set SYNCLINE_PARTITIONS={change.to} everywhere, and start the services")


def _document(change: Change) -> dict[str, Any]:
    return {
        "to": change.to,
        "topics": dict(change.counts),
        "members": dict(change.members),
        "rows": {table: wrong.total for table, wrong in change.rows.items()},
        "messages": change.messages,
    }


def _lines(change: Change) -> list[str]:
    if not change.needed:
        return [f"every topic has {change.to} partitions, and everything lies where it belongs"]
    few = [name for name, count in change.counts.items() if count < change.to]
    lines = (
        [f"{len(few)} of {len(change.counts)} topics get {change.to} partitions, from {_from(change)}"] if few else []
    )
    moved = ", ".join(f"{wrong.total:,} rows of {table}" for table, wrong in change.rows.items() if wrong.total)
    if moved:
        lines.append(f"{moved} move")
    if change.messages:
        lines.append(f"{change.messages:,} messages that nobody has handled are sent again, to where they belong")
    lines += [f"in the way: {name} has {count} members" for name, count in change.members.items() if count]
    return lines


def _from(change: Change) -> str:
    return " and ".join(map(str, sorted({count for count in change.counts.values() if count < change.to})))
