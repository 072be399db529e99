"""`syncline replay`: changes that lie on their topics, driven through once more."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from syncline.cli.running import Since, as_json, configured, run
from syncline.replay.run import Order, Running, replay
from syncline.replay.selection import select
from syncline.replay.window import WINDOW


class Offset(click.ParamType):
    name = "partition:offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        partition, _, offset = value.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"{value!r} is no partition and offset like 3:1200", param, ctx)
        return int(partition), int(offset)


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which changes are selected."""
    for option in reversed(
        (
            click.option("--pipeline", "pipelines", multiple=True, help="Only what this pipeline reads and writes."),
            click.option("--object", "objects", multiple=True, metavar="SYSTEM.OBJECT", help="Only of this object."),
            click.option("--record", "records", multiple=True, help="Only this one: id, object/id, system/object/id."),
            click.option("--since", type=Since(), help="Captured no longer ago than 90s, 15m, 2h, 3d, or than a time."),
            click.option("--until", type=Since(), help="Captured before that, in the same words."),
            click.option(
                "--from-offset",
                "offsets",
                type=Offset(),
                multiple=True,
                help="Only from there on in this partition of the object's topic; other partitions only if named too.",
            ),
        )
    ):
        command = option(command)
    return command


def selected(asked: dict[str, Any]) -> dict[str, Any]:
    """The options as `select` takes them."""
    since, until = asked["since"], asked["until"]
    if since and until and since >= until:
        raise click.UsageError("--until must be later than --since")
    return {**asked, "offsets": dict(asked["offsets"]) if asked["offsets"] else None}


@click.command("replay")
@selecting
@click.option("--name", help="Call it so. Named again before it is finished, it goes on.")
@click.option("--resume", metavar="NAME", help="Go on with the replay of this name; needs no other option.")
@click.option("--window", type=click.IntRange(1), default=WINDOW, show_default=True, help="Messages under way at most.")
@click.option("--wait/--no-wait", default=True, help="Until all of it is written, or only until it is sent.")
@as_json
def replay_command(name: str | None, resume: str | None, window: int, wait: bool, as_json: bool, **asked: Any) -> None:
    """Send changes through mapper and writer once more, as they lie on their topics (14 days are kept).

    What is already so on the other side writes nothing and costs no call, and a newer change always wins over a
    replayed one. It stays behind live traffic: it waits while more than --window messages are under way. Without an
    option it is everything that the pipelines read. Ctrl-C ends it so that it can be resumed.
    """
    if resume and (name or any(asked.values())):
        raise click.UsageError("--resume needs no other option: what was selected is kept with the name")
    selection, called = selected(asked), resume or name or secrets.token_hex(3)

    async def go() -> Running:
        settings, config = configured()
        chosen = None if resume else select(config, **selection)
        order = Order(name=called, selection=chosen, window=window, wait=wait)
        with interrupted() as stop, shown(called) as tell:
            return await replay(order, settings, config, stop=stop, tell=tell)

    began = time.monotonic()
    done: Running = run(go())
    seconds = time.monotonic() - began
    again = None if done.read == done.total else shlex.join(["syncline", "replay", "--resume", called])
    if as_json:
        counts = {"messages": done.total, "read": done.read, "replayed": done.sent}
        document = {"name": called, **counts, "finished": done.finished, "seconds": round(seconds, 3), "resume": again}
        click.echo(json.dumps(document, indent=2))
    elif done.finished:
        click.echo(f"{done.sent:,} changes {'replayed' if wait else 'sent to the mapper'} in {seconds:.0f} s")
    elif again:
        click.echo(f"stopped after {done.read:,} of {done.total:,} messages; go on with: {again}")
    else:
        click.echo(f"all {done.sent:,} changes are sent; see by `syncline status --quick` when they are written")
    if not done.finished:
        raise click.exceptions.Exit(130)


@contextmanager
def interrupted() -> Iterator[asyncio.Event]:
    """Set by Ctrl-C and SIGTERM, for work that ends by itself then. Only the main thread hears of them."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    for each in heard:
        loop.add_signal_handler(each, stop.set)
    try:
        yield stop
    finally:
        for each in heard:
            loop.remove_signal_handler(each)


@contextmanager
def shown(name: str) -> Iterator[Callable[[Running], None]]:
    """A bar with an estimate on standard error, for people."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("replay {task.fields[name]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("replay", total=None, name=name, said="")

        def tell(running: Running) -> None:
            said = _said(running.under_way, running.absent)
            bar.update(task, completed=running.read, total=running.total, said=said)

        yield tell


def _said(under_way: int, absent: Collection[str]) -> str:
    return f"{under_way:,} under way" + "".join(f", nobody runs as {name}" for name in absent)
