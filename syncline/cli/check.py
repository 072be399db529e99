"""`syncline check`: the go-live list."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from syncline.cli.running import as_json, configured, printable, run
from syncline.systems.golive import Look


@click.command("check")
@as_json
def check_command(as_json: bool) -> None:
    """Everything that must be right before the services start, each finding with its remedy.

    Compares pipelines.yaml with what the systems say of themselves, and looks at permissions, topics, the database, the
    change capture, clocks, and what the first run will cost. Changes nothing. Exits 1 when something must be put right.
    """
    from syncline.systems.golive import look

    async def go() -> Look:
        settings, config = configured()
        return await look(settings, config, rng=random.SystemRandom(), now=lambda: datetime.now(UTC))

    found: Look = run(go())
    if as_json:
        findings = [asdict(each) for each in found.findings]
        click.echo(json.dumps({"good": found.good, "findings": findings, "told": found.told}, indent=2))
    else:
        for line in lines(found):
            click.echo(printable(line))
    sys.exit(0 if found.good else 1)


def lines(found: Look) -> list[str]:
    blocking = [str(each) for each in found.findings if each.blocks]
    others = [f"to consider: {each}" for each in found.findings if not each.blocks]
    count = f"{len(blocking)} to put right" if blocking else "nothing to put right"
    return [*blocking, *others, *found.told, count]
