"""`syncline deletions`: a mass deletion stops and asks."""

from __future__ import annotations

import json
from typing import Any

import click

from syncline.cli.running import as_json, configured, run
from syncline.runtime.kafka import Message, publisher
from syncline.state.database import check_migrated, connect
from syncline.state.deletions import Deletions, Waiting


@click.group("deletions")
def deletions_commands() -> None:
    """Deletions over a pipeline's delete_limit, which wait for a person."""


@deletions_commands.command("list")
@as_json
def list_deletions(as_json: bool) -> None:
    """Which pipelines have deletions that wait, how many, and since when."""

    async def read(pool: Any) -> list[Waiting]:
        return await Deletions(pool).waiting()

    found: list[Waiting] = run(_with_state(read))
    if as_json:
        rows = [{"pipeline": row.pipeline, "deletions": row.deletions, "since": row.since.isoformat()} for row in found]
        click.echo(json.dumps({"waiting": rows}, indent=2))
    for row in found if not as_json else ():
        click.echo(f"{row.pipeline}: {row.deletions} deletions wait since {row.since:%Y-%m-%d %H:%M:%S} UTC")
    if not found and not as_json:
        click.echo("no deletion waits")


@deletions_commands.command("approve")
@click.argument("pipeline")
def approve(pipeline: str) -> None:
    """Carry out all that wait in PIPELINE."""
    _decide(pipeline, approved=True)


@deletions_commands.command("refuse")
@click.argument("pipeline")
def refuse(pipeline: str) -> None:
    """Forget all that wait in PIPELINE; the records stay where they are."""
    _decide(pipeline, approved=False)


def _decide(pipeline: str, *, approved: bool) -> None:
    async def decide(pool: Any) -> int:
        settings, _ = configured()
        async with publisher(settings.kafka, "syncline-deletions") as publishing:
            commands = await Deletions(pool).decide(pipeline, approve=approved)
            if approved:
                await publishing.publish(
                    Message(settings.names.commands(each.target.system), str(each.source).encode(), each.encode())
                    for each in commands
                )
            return len(commands)

    click.echo(f"{run(_with_state(decide))} deletions {'are on their way' if approved else 'were refused'}")


async def _with_state(work: Any) -> Any:
    settings, _ = configured()
    async with connect(settings.database_url.get_secret_value(), application="syncline-deletions", size=1) as pool:
        await check_migrated(pool)
        return await work(pool)
