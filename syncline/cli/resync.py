"""`syncline resync` and `syncline rebuild`: from the sources, and from what PostgreSQL still knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from syncline.cli.replay import interrupted
from syncline.cli.running import Since, as_json, configured, printable, run
from syncline.replay.rebuild import Rebuilt
from syncline.replay.rebuild import rebuild as rebuild_all
from syncline.replay.resync import Followed, ask, asked_of, follow, wanted
from syncline.state.resyncs import Resync

SHOWN = 20
"""So many missing records a person is shown; --json has all."""


@click.command("resync")
@click.option("--object", "objects", multiple=True, metavar="SYSTEM.OBJECT", help="This object.")
@click.option("--pipeline", "pipelines", multiple=True, help="What this pipeline reads; only it writes it again.")
@click.option("--record", "records", multiple=True, help="Only this one: id, object/id or system/object/id.")
@click.option("--since", type=Since(), help="Only what changed since then: 90s, 15m, 2h, 3d, or a time (UTC).")
@click.option("--all", "everything", is_flag=True, help="Every object that is polled.")
@click.option("--cancel", type=int, multiple=True, metavar="NUMBER", help="End this one instead, where it is.")
@click.option("--wait/--no-wait", default=True, help="Until all of it is written, or only until it is asked for.")
@as_json
def resync_command(
    everything: bool, cancel: tuple[int, ...], wait: bool, as_json: bool, since: datetime | None, **named: Any
) -> None:
    """Read records again from their source, and drive them through mapper and writer.

    For records that the changes topics no longer hold, and for fields that were not captured before. What is already so
    on the other side writes nothing. The poller that holds the object does it, a page between two polls, so that live
    changes come first; it goes on when this command is ended.
    """
    if cancel:
        _cancel(cancel, as_json)
        return
    if not (everything or any(named.values())):
        raise click.UsageError("name an --object, a --pipeline or a --record, or give --all")

    async def go() -> Followed:
        settings, config = configured()
        numbers = await ask(wanted(config, since=since, **named), settings)
        return await _followed(numbers, wait)

    told(run(go()), wait, as_json)


@click.command("rebuild")
@click.option("--since", type=Since(), help="Read only what changed since then: 3d, or a time (UTC).")
@click.option("--wait/--no-wait", default=True, help="Until all of it is written, or only until it is asked for.")
@as_json
def rebuild_command(since: datetime | None, wait: bool, as_json: bool) -> None:
    """Make the mapper's tables again after Kafka was lost: `syncline topics` first, then this.

    Pairs come from the links, records from their sources, each polled object being read again as by `syncline resync`.
    Nothing is written that is already so. May be repeated.
    """

    async def go() -> tuple[Rebuilt, Followed]:
        settings, config = configured()
        console = Console(stderr=True)
        with console.status("links") as status:
            made = await rebuild_all(
                settings, config, since=since, tell=lambda count: status.update(f"{count:,} links told to the mapper")
            )
        if not as_json:
            click.echo(f"{made.links:,} links told to the mapper")
            for kind in made.streams:
                click.echo(
                    f"{kind.system}.{kind.name} sends by itself: have it send again what it sent of late", err=True
                )
        return made, await _followed(made.resyncs, wait)

    made, followed = run(go())
    streams = [f"{kind.system}.{kind.name}" for kind in made.streams]
    told(followed, wait, as_json, links=made.links, other_links=made.others, streams=streams)


async def _followed(numbers: Sequence[int], wait: bool) -> Followed:
    settings, config = configured()
    if not wait:
        async with asked_of(settings) as (resyncs, _):
            return Followed(await resyncs.get(numbers))
    with interrupted() as stop, _shown() as tell:
        return await follow(numbers, settings, config, stop=stop, tell=tell)


def _cancel(numbers: Collection[int], as_json: bool) -> None:
    async def go() -> Sequence[int]:
        settings, _ = configured()
        async with asked_of(settings) as (resyncs, _):
            return await resyncs.cancel(numbers)

    ended = run(go())
    if as_json:
        click.echo(json.dumps({"cancelled": sorted(ended)}, indent=2))
        return
    for number in numbers:
        click.echo(f"resync {number} {'is cancelled' if number in ended else 'was done already, or never asked for'}")


def told(followed: Followed, wait: bool, as_json: bool, **more: Any) -> None:
    """What it came to; exits 1 when a resync was given up, 130 when it was not waited for to the end."""
    if as_json:
        documents = [document(each) for each in followed.resyncs]
        click.echo(json.dumps({**more, "finished": followed.finished, "resyncs": documents}, indent=2))
    else:
        for each in followed.resyncs:
            click.echo(_line(each))
            for ref in each.missing[:SHOWN]:
                click.echo(f"  {each.wanted.kind} has no {printable(ref)}, or it is deleted", err=True)
        if wait and not followed.finished:
            click.echo("it goes on: see `syncline status --quick`, or end it by `syncline resync --cancel NUMBER`")
    if any(each.why for each in followed.resyncs):
        raise click.exceptions.Exit(1)
    if wait and not followed.finished:
        raise click.exceptions.Exit(130)


def document(each: Resync) -> dict[str, Any]:
    return {
        "number": each.id,
        "object": str(each.wanted.kind),
        "read": each.read,
        "remaining": each.remaining,
        "missing": list(each.missing),
        "done": each.done_at is not None,
        "why": each.why,
    }


def _line(each: Resync) -> str:
    name = f"resync {each.id} of {each.wanted.kind}"
    if each.why:
        return f"{name} ended after {each.read:,} records: {printable(each.why)}"
    if each.done_at:
        return f"{name}: {each.read:,} records read"
    return f"{name}: {each.read:,} records read so far"


@contextmanager
def _shown() -> Iterator[Callable[[Followed], None]]:
    """A bar for each object on standard error, for people."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[int, TaskID] = {}

        def tell(followed: Followed) -> None:
            for each in followed.resyncs:
                if each.id not in tasks:
                    tasks[each.id] = bar.add_task(f"resync {each.wanted.kind}", total=None, said="")
                total = None if each.remaining is None else each.read + each.remaining
                said = "no poller reads it" if each.wanted.kind in followed.unread else "being written" * followed.read
                bar.update(tasks[each.id], completed=each.read, total=total, said=said)

        yield tell
