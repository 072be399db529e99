"""`python -m benchmarks [poller|mapper|writer] [--json] [--records N]`."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import click
import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.mapper import mapper
from benchmarks.poller import poller
from benchmarks.stage import Bench, Figures, opened
from benchmarks.writer import writer
from syncline.contracts.errors import SynclineError
from syncline.local.machine import Say, run_dir
from syncline.local.stack import stack
from syncline.local.system import system

FEWEST = 50


class Stage(NamedTuple):
    measure: Callable[[Bench, int], Awaitable[Figures]]
    records: int


STAGES = {"poller": Stage(poller, 20_000), "mapper": Stage(mapper, 50_000), "writer": Stage(writer, 10_000)}


async def measure(stages: Sequence[str], records: int | None, say: Say) -> dict[str, Figures]:
    """One broker and one database server for all; topics, databases and a simulated org for each.

    Raises Fatal when something cannot start, or when a stage's output is not what it must be.
    """
    figures: dict[str, Figures] = {}
    with run_dir(name="bench") as folder:
        async with stack(folder, say=say) as servers:
            for name in stages:
                count = records or STAGES[name].records
                say(f"{name}: {count:,} records")
                async with (
                    system(
                        folder / name,
                        kafka_address=servers.kafka_address,
                        database_url=servers.database_url,
                        prefix=f"bench{secrets.token_hex(4)}",
                    ) as running,
                    opened(running) as bench,
                ):
                    figures[name] = await STAGES[name].measure(bench, count)
    return figures


def shown(figures: dict[str, Figures]) -> Table:
    table = Table(caption="Ratios count; what is absolute belongs to this machine and this minute.")
    for heading in ("stage", "records", "records/s", "bare loop records/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, found in figures.items():
        rate, bare = f"{found.rate:,.0f}", f"{found.bare:,.0f}"
        table.add_row(name, f"{found.records:,}", rate, bare, f"{found.ratio:.3f}", style="bold")
        for wave in found.waves if len(found.waves) > 1 else ():
            table.add_row(f"  {wave.name}", f"{wave.records:,}", f"{wave.rate:,.0f}", style="dim")
    return table


@click.command()
@click.argument("stage", type=click.Choice(list(STAGES)), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--records", type=click.IntRange(min=FEWEST), help="Of each stage, instead of its own default.")
def main(stage: str | None, as_json: bool, records: int | None) -> None:
    """Measure the stages as they ship, on a real Kafka and PostgreSQL and a simulated org."""
    logging.basicConfig(level=logging.ERROR)  # aiokafka warns of every retry while a new topic's leader is chosen
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    console = Console(stderr=True)
    try:
        figures = asyncio.run(measure([stage] if stage else list(STAGES), records, console.print))
    except SynclineError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({name: found.document() for name, found in figures.items()}, indent=2))
    else:
        Console().print(shown(figures))


if __name__ == "__main__":
    main()
