"""`syncline held`: who waits for whom, and what a person can do about it."""

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
from syncline.config.model import Config
from syncline.contracts.command import Command
from syncline.contracts.ref import Ref
from syncline.oncall.held import Held, Refused, fetch, find, parents, release, released
from syncline.timeline.asked import candidates
from syncline.timeline.held import Step, age, awaited
from syncline.timeline.read import held

SHOWN = 20
"""So many parents a person is shown; --json has all."""

Releasing = tuple[Held, Command]
"""What is held, and what will be sent of it."""


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


@held_commands.command("release")
@click.argument("record")
@click.option("--pipeline", help="Only what waits in this pipeline.")
@click.option("--yes", is_flag=True, help="Do not ask before it is written.")
@as_json
def release_held(record: str, pipeline: str | None, yes: bool, as_json: bool) -> None:
    """Let RECORD be written without the parent that it waits for.

    Shows first what will be written. Only where the pipeline allows records without parent (parent.without: write) or
    leaves them to a person (hold). The hold stays: should the parent come after all, the reference is written then.
    A later change of RECORD waits again. RECORD is its id, object/id or system/object/id.
    """

    async def look() -> list[Releasing]:
        settings, config = configured()
        refs = candidates(record, config)
        with reading() as progress:
            found = await find(refs, settings, config, progress=progress)
        found = [each for each in found if each.step.slot.child in refs and pipeline in (None, each.step.slot.pipeline)]
        return _releasable(record, found, config)

    async def go(shown: list[Releasing]) -> int:
        settings, config = configured()
        with reading() as progress:
            return await release(shown, candidates(record, config), settings, config, progress=progress)

    shown = run(look())
    told = [_plan(each, command) for each, command in shown]
    if not as_json:
        for plan in told:
            click.echo(f"{plan['record']} to {plan['target']}, by {plan['pipeline']}, version {plan['version']}:")
            for field, value in plan["fields"].items():
                click.echo(f"  {printable(field)} = {printable(json.dumps(value, ensure_ascii=False))}")
            click.echo(f"  without {plan['without']}, for which it goes on waiting for {plan['waits_for']}")
        if not yes:
            click.confirm("write this?", abort=True, err=True)
    elif not yes:
        click.echo(json.dumps({"released": 0, "plan": told, "next": "add --yes to write this"}, indent=2))
        return
    sent = run(go(shown))
    if as_json:
        click.echo(json.dumps({"released": sent, "plan": told}, indent=2))
        return
    click.echo(f"{sent:,} on the way to the writer: see `syncline explain {record}`")
    if sent < len(shown):
        click.echo(f"{len(shown) - sent:,} changed meanwhile and were left: look again", err=True)


def _releasable(record: str, found: Sequence[Held], config: Config) -> list[Releasing]:
    """Raises Refused when nothing of it can be."""
    if not found:
        raise Refused(f"{record} waits for nothing: see `syncline held list`")
    shown, refused = list[Releasing](), list[str]()
    for each in found:
        try:
            shown.append((each, released(each, config)))
        except Refused as error:
            refused.append(str(error))
    if not shown:
        raise Refused("\n".join(refused))
    return shown


@held_commands.command("fetch-parent")
@click.argument("record", required=False)
@click.option("--all", "everyone", is_flag=True, help="Of every record that waits.")
@as_json
def fetch_parent(record: str | None, everyone: bool, as_json: bool) -> None:
    """Have the poller read again what RECORD waits for.

    Or RECORD itself, when others wait for it. For a parent that was restored, or may be read only now. Once it is
    synced, those who wait go on by themselves.
    """
    if (record is None) != everyone:
        raise click.UsageError("name a RECORD, or give --all, one of the two")

    async def go() -> tuple[list[Ref], list[str]]:
        settings, config = configured()
        with reading() as progress:
            if record is None:
                waiting = await held(settings, config, progress=progress)
            else:
                found = await find(candidates(record, config), settings, config, progress=progress)
                waiting = [each.step for each in found]
        if record is not None and not waiting:
            raise Refused(f"{record} waits for nothing, and nothing waits for it: see `syncline held list`")
        asked, refused = parents((step.slot for step in waiting), config)
        await fetch(asked, settings)
        return asked, refused

    asked, refused = run(go())
    if as_json:
        click.echo(json.dumps({"asked": list(map(str, asked)), "refused": refused}, indent=2))
        return
    for ref in asked[:SHOWN]:
        click.echo(f"asked for {printable(str(ref))}")
    if len(asked) > SHOWN:
        click.echo(f"and for {len(asked) - SHOWN:,} more")
    for why in refused[:SHOWN]:
        click.echo(printable(why), err=True)
    if not asked:
        click.echo("nothing was asked for")


def _plan(each: Held, command: Command) -> dict[str, Any]:
    slot = each.step.slot
    return {
        "record": str(slot.child),
        "target": str(command.target),
        "pipeline": slot.pipeline,
        "version": command.version,
        "fields": command.fields,
        "without": slot.field,
        "waits_for": awaited(slot.on, slot.child),
    }


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
