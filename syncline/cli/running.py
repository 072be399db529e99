"""What every command does: read its configuration, run, and turn an error into one plain line."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from syncline.config.load import load
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.errors import SynclineError

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object for machines.")
limit = click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Show so many at most.")


SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if span := re.fullmatch(r"(\d+)([smhd])", value):
            return datetime.now(UTC) - timedelta(**{SPANS[span[2]]: int(span[1])})
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a span like 90s, 15m, 2h, 3d nor a time like 2026-11-21T10:00", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def configured() -> tuple[Settings, Config]:
    settings = Settings.read(os.environ)
    return settings, load(settings.pipelines, os.environ)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except SynclineError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, for people only, told how many of how many messages were read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def printable(text: str) -> str:
    """Records hold what anyone typed into them: nothing that a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)
