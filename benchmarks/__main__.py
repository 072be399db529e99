"""`python -m benchmarks [STAGE]... [--json] [--records N] [--pipelines FILE]`."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click
import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.held import held
from benchmarks.mapper import mapper
from benchmarks.poller import poller
from benchmarks.recovery import recovery
from benchmarks.replay import replay
from benchmarks.scaling import scaling
from benchmarks.stage import Bench, Row, opened
from benchmarks.writer import writer
from syncline.contracts.errors import SynclineError
from syncline.local.machine import Say, run_dir
from syncline.local.stack import stack
from syncline.local.system import PIPELINES, system

FEWEST = 50


class Found(Protocol):
    def document(self) -> dict[str, Any]: ...

    def rows(self) -> Iterable[Row]: ...


class Stage(NamedTuple):
    measure: Callable[[Bench, int, Say], Awaitable[Found]]
    records: int
    pipelines: Path = PIPELINES


STAGES = {
    "poller": Stage(poller, 20_000),
    "mapper": Stage(mapper, 200_000, Path(__file__).with_name("pipelines.yaml")),
    "held": Stage(held, 100_000),
    "recovery": Stage(recovery, 200_000),
    "writer": Stage(writer, 10_000),
    "replay": Stage(replay, 200_000),
    "scaling": Stage(scaling, 20_000),
}


async def measure(stages: Sequence[str], records: int | None, pipelines: Path | None, say: Say) -> dict[str, Found]:
    """One broker and one database server for all; topics, databases and a simulated org for each.

    Raises Fatal when something cannot start, or when a stage's output is not what it must be.
    """
    figures: dict[str, Found] = {}
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
                        pipelines=pipelines or STAGES[name].pipelines,
                    ) as running,
                    opened(running) as bench,
                ):
                    figures[name] = await STAGES[name].measure(bench, count, say)
    return figures


def shown(figures: Iterable[Found]) -> Table:
    table = Table(caption="Ratios count; the rest belongs to this machine and minute.")
    for heading in ("stage", "records", "records/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for found in figures:
        for row in found.rows():
            table.add_row(*row, style="dim" if row.name.startswith(" ") else "bold")
    return table


@click.command()
@click.argument("stages", metavar="[STAGE]...", type=click.Choice(list(STAGES)), nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--records", type=click.IntRange(min=FEWEST), help="Of each stage, instead of its own default.")
@click.option("--pipelines", type=click.Path(path_type=Path, exists=True), help="Instead of the stage's own.")
def main(stages: tuple[str, ...], as_json: bool, records: int | None, pipelines: Path | None) -> None:
    """Measure the stages as they ship, all or these, on a real Kafka and PostgreSQL and a simulated org."""
    logging.basicConfig(level=logging.ERROR)  # aiokafka warns of every retry while a new topic's leader is chosen
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    console = Console(stderr=True)
    try:
        figures = asyncio.run(measure(stages or list(STAGES), records, pipelines, console.print))
    except SynclineError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        documents = {name: found.document() for name, found in figures.items()}
        click.echo(json.dumps(documents[stages[0]] if len(stages) == 1 else documents, indent=2))
    else:
        Console().print(shown(figures.values()))


if __name__ == "__main__":
    main()
