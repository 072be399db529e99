"""`syncline plan`: the entry point through which the command line finds it, since syncline knows no service."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog
from rich.console import Console
from rich.text import Text

from syncline.cli.replay import selected, selecting
from syncline.cli.running import as_json, configured, reading, run
from syncline.config.load import load
from syncline.replay.selection import select

if TYPE_CHECKING:  # what a plan needs takes a second to import, which `syncline --help` need not wait for
    from services.planner.run import Comparison, Plan


@click.command("plan")
@selecting
@click.option(
    "--mapping",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Compare this pipelines.yaml with the present one, over every record that the mapper knows.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Save the writes as a table, a row for each field: a name that ends in .csv or .parquet.",
)
@click.option("--summary", is_flag=True, help="Counts and price alone, without the writes.")
@as_json
def plan_command(mapping: Path | None, output: Path | None, summary: bool, as_json: bool, **asked: Any) -> None:
    """What a replay, or a new mapping, would write: each field, old and new, why, and the price in API calls.

    Takes the options of `syncline replay` and sends nothing: it reads both systems, the topics and the state schema,
    and puts the changes through mapper and writer on a copy. What services have still on the way comes first, and is
    not in the plan.
    """
    selection = selected(asked)
    if mapping and any(asked[name] for name in ("since", "until", "offsets")):
        raise click.UsageError("--mapping takes all records as they are now: no --since, --until, --from-offset")

    if mapping and not mapping.is_file():
        raise click.UsageError(f"--mapping: there is no file {mapping}")

    async def go() -> None:
        from services.planner.files import fits
        from services.planner.run import compared, planned

        settings, config = configured()
        if output:
            fits(output)
        async with AsyncExitStack() as stack:
            with reading() as progress:
                made: Plan | Comparison
                if mapping:
                    new = load(mapping, os.environ)
                    chosen = select(new, **selection)
                    made = await stack.enter_async_context(compared(settings, config, new, chosen, progress=progress))
                else:
                    chosen = select(config, **selection)
                    made = await stack.enter_async_context(planned(settings, config, chosen, progress=progress))
            _tell(made, output, brief=summary, as_json=as_json)

    with _without_logs():
        run(go())


def _tell(made: Plan | Comparison, output: Path | None, *, brief: bool, as_json: bool) -> None:
    from services.planner import telling
    from services.planner.files import save
    from services.planner.run import Plan

    rows = save(output, made) if output else None
    brief = brief or output is not None
    if isinstance(made, Plan):
        plan, name, head, more = made, "writes", telling.summary(made), telling.lines(made)
    else:
        kinds = Counter(each.kind for each in made)
        plan, name, head = made.new, "differences", telling.compared(made, kinds)
        more = chain(telling.differing(made, kinds), telling.lines(plan))
    if as_json:
        if output:
            head |= {"output": {"file": str(output), "rows": rows}}
        documents = () if brief else (each.document() for each in made)
        pieces = [f"{json.dumps(head, indent=2)}\n"] if brief else telling.streamed(head, name, documents)
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    console = Console()
    console.print(telling.outcomes(plan))
    for line in more:
        click.echo(line)
    if output:
        click.echo(f"saved         {rows:,} rows in {output}")
    elif not brief:
        click.echo()
        pages = (_rendered(text, console) for each in made for text in telling.shown(each))
        if console.is_terminal:
            click.echo_via_pager(pages, color=True)
        else:
            for page in pages:
                click.echo(page, nl=False)


def _rendered(text: Text, console: Console) -> str:
    with console.capture() as captured:
        console.print(text, soft_wrap=True)
    return captured.get()


@contextmanager
def _without_logs() -> Iterator[None]:
    """The writer logs each rejection for those who watch services; a plan counts them."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)
