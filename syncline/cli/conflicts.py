"""`syncline conflicts`: the fields that both sides changed, and what was decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncline.cli.running import as_json, configured, limit, printable, run
from syncline.contracts.conflict import Conflict
from syncline.contracts.ref import Value
from syncline.state.conflicts import Conflicts
from syncline.state.database import check_migrated, connect


@click.group("conflicts")
def conflicts_commands() -> None:
    """Fields that both sides changed since they last agreed."""


@conflicts_commands.command("list")
@limit
@as_json
def list_conflicts(limit: int, as_json: bool) -> None:
    """The conflicts that were recorded, newest first, with both values and what was decided."""

    async def read() -> list[Conflict]:
        settings, _ = configured()
        url = settings.database_url.get_secret_value()
        async with connect(url, application="syncline-conflicts", size=1) as pool:
            await check_migrated(pool)
            return await Conflicts(pool).list(limit)

    found: list[Conflict] = run(read())
    if as_json:
        click.echo(json.dumps({"conflicts": [_document(each) for each in found]}, indent=2))
    elif found:
        Console().print(_table(found))
    else:
        click.echo("no conflict was recorded")


def _document(row: Conflict) -> dict[str, Any]:
    return {
        "pipeline": row.pipeline,
        "source": str(row.source),
        "target": str(row.target),
        "field": row.field,
        "agreed": row.agreed,
        "incoming": row.incoming,
        "present": row.present,
        "decided": row.decided,
        "version": row.version,
    }


def _table(rows: Sequence[Conflict]) -> Table:
    table = Table("field", "target", "agreed", "came from the source", "found in the target", "decided")
    for row in rows:
        values = (_shown(row.agreed), _shown(row.incoming), _shown(row.present))
        words = (row.field, str(row.target), *values, row.decided)
        table.add_row(*(Text(printable(each), overflow="fold") for each in words))
    return table


def _shown(value: Value) -> str:
    return "(empty)" if value is None else value if isinstance(value, str) else json.dumps(value)
