"""`syncline deletions`: a mass deletion stops and asks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import click

from syncline.cli.running import as_json, configured, run
from syncline.runtime.kafka import Message, publisher
from syncline.state.database import check_migrated, connect
from syncline.state.deletions import Deletions, Stopped


@click.group("deletions")
def deletions_commands() -> None:
    """Deletions over a pipeline's delete_limit, which wait for a person."""


@deletions_commands.command("list")
@as_json
def list_deletions(as_json: bool) -> None:
    """Which pipelines have deletions that wait or are blocked, how many, and since when."""

    async def read(pool: Any) -> list[Stopped]:
        return await Deletions(pool).stopped()

    found: list[Stopped] = run(_with_state(read))
    if as_json:
        rows = [{**row._asdict(), "since": row.since.isoformat()} for row in found]
        click.echo(json.dumps({"stopped": rows}, indent=2))
        return
    for row in found:
        why = "waiting for a person" if row.state == "waiting" else "blocked by rows that still refer to the record"
        click.echo(f"{row.pipeline}: {row.deletions} {why}, since {row.since:%Y-%m-%d %H:%M:%S} UTC")
    if not found:
        click.echo("no deletion waits")


@deletions_commands.command("approve")
@click.argument("pipeline")
def approve(pipeline: str) -> None:
    """Carry out all that wait in PIPELINE, and try those again that are blocked."""

    async def go(pool: Any) -> int:
        settings, _ = configured()
        async with publisher(settings.kafka, "syncline-deletions") as publishing:
            commands = await Deletions(pool).approve(pipeline)
            await publishing.publish(
                Message(settings.names.commands(each.target.system), str(each.source).encode(), each.encode())
                for each in commands
            )
        return len(commands)

    click.echo(_told(pipeline, run(_with_state(go)), "approved and on the way"))


@deletions_commands.command("refuse")
@click.argument("pipeline")
def refuse(pipeline: str) -> None:
    """Forget all that wait or are blocked in PIPELINE; the records stay where they are."""

    async def go(pool: Any) -> int:
        return len(await Deletions(pool).refuse(pipeline))

    click.echo(_told(pipeline, run(_with_state(go)), "refused"))


def _told(pipeline: str, deletions: int, what: str) -> str:
    return f"{pipeline}: {deletions} {what}" if deletions else f"no deletion of {pipeline} waits"


async def _with_state(work: Callable[[Any], Awaitable[Any]]) -> Any:
    settings, _ = configured()
    async with connect(settings.database_url, application="syncline-deletions", size=1) as pool:
        await check_migrated(pool)
        return await work(pool)
