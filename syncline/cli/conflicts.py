"""`syncline conflicts`: the fields that both sides changed, what was decided, and a person's own decision."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncline.cli.running import as_json, configured, limit, printable, run
from syncline.config.settings import Settings
from syncline.contracts.conflict import Conflict
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Value
from syncline.contracts.request import Request
from syncline.runtime.kafka import Message, publisher
from syncline.state.conflicts import Conflicts, Recorded
from syncline.state.database import check_migrated, connect
from syncline.state.links import Links
from syncline.state.reviews import resolved


@click.group("conflicts")
def conflicts_commands() -> None:
    """Fields that both sides changed since they last agreed."""


@conflicts_commands.command("list")
@click.option("--waiting", is_flag=True, help="Only those that a person has to decide.")
@limit
@as_json
def list_conflicts(waiting: bool, limit: int, as_json: bool) -> None:
    """The conflicts that were recorded, newest first, with both values and what was decided."""

    async def read() -> list[Recorded]:
        settings, _ = configured()
        async with _state(settings) as pool:
            return await Conflicts(pool).list(limit, waiting=waiting)

    found: list[Recorded] = run(read())
    if as_json:
        click.echo(json.dumps({"conflicts": [_document(each) for each in found]}, indent=2))
    elif found:
        Console().print(_table(found))
    else:
        click.echo("no conflict waits for a person" if waiting else "no conflict was recorded")


@conflicts_commands.command("resolve")
@click.argument("conflict", type=int)
@click.option("--keep", "winner", required=True, metavar="SYSTEM", help="The system whose value both sides get.")
def resolve_conflict(conflict: int, winner: str) -> None:
    """Decide CONFLICT (its number in `conflicts list`). Also lets a paused pair go on.

    The record of SYSTEM is read again, and what it holds by then is written to the other side.
    """

    async def go() -> str:
        settings, _ = configured()
        async with _state(settings) as pool, publisher(settings.kafka, "syncline-conflicts") as publishing:
            conflicts = Conflicts(pool)
            found = await conflicts.get(conflict)
            if found is None:
                raise Fatal(f"there is no conflict {conflict}: see `syncline conflicts list`")
            row = found.conflict
            sides = {row.source.system: row.source, row.target.system: row.target}
            if winner not in sides:
                raise Fatal(f"--keep must be one of {', '.join(sides)}, not {winner}")
            if found.resolved or row.decided not in ("review", "paused"):
                raise Fatal(f"conflict {conflict} does not wait: {found.resolved or row.decided} was decided")
            # Before the field is free again: what is recorded afterwards is another conflict.
            alike = await conflicts.alike(conflict)
            if pair := await _decide(Links(pool), row, winner):
                request = Request(ref=sides[winner], reason=f"a person decided conflict {conflict}")
                message = Message(settings.names.requests, str(request.ref).encode(), request.encode())
                await publishing.publish([message])
            await conflicts.resolve(alike, winner)
        if pair:
            return f"{winner} wins; its value is on its way"
        return f"{row.source} and {row.target} are no pair any more: noted, and nothing is written"

    click.echo(run(go()))


async def _decide(links: Links, row: Conflict, winner: str) -> bool:
    """False when the two are no pair any more. Raises Transient when the writer keeps changing it meanwhile."""
    asked = (row.source, row.target.kind)
    for _ in range(5):
        link = (await links.find([asked])).get(asked)
        if link is None or link.ended or link.target.ref != row.target:
            return False
        if await links.save([resolved(link, row, winner)]) == [True]:
            return True
    raise Transient(f"{row.source} is being written to: try again")


@asynccontextmanager
async def _state(settings: Settings) -> AsyncIterator[Any]:
    async with connect(settings.database_url, application="syncline-conflicts", size=1) as pool:
        await check_migrated(pool)
        yield pool


def _document(row: Recorded) -> dict[str, Any]:
    conflict = row.conflict
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "pipeline": conflict.pipeline,
        "source": str(conflict.source),
        "target": str(conflict.target),
        "field": conflict.field,
        "agreed": conflict.agreed,
        "incoming": conflict.incoming,
        "present": conflict.present,
        "decided": conflict.decided,
        "resolved": row.resolved,
        "version": conflict.version,
        "source_time": conflict.source_time,
        "target_time": conflict.target_time,
    }


def _table(rows: Sequence[Recorded]) -> Table:
    table = Table("no.", "field", "target", "agreed", "came from the source", "found in the target", "decided")
    for row in rows:
        conflict = row.conflict
        values = (_shown(conflict.agreed), _shown(conflict.incoming), _shown(conflict.present))
        decided = f"{conflict.decided}, then {row.resolved}" if row.resolved else conflict.decided
        words = (str(row.id), conflict.field, str(conflict.target), *values, decided)
        table.add_row(*(Text(printable(each), overflow="fold") for each in words))
    return table


def _shown(value: Value) -> str:
    return "(empty)" if value is None else value if isinstance(value, str) else json.dumps(value)
