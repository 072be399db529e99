"""The command line: what a person runs. Errors are one plain line each, with the next step."""

from __future__ import annotations

import json
import logging
import sys
from importlib.metadata import entry_points

import click
import structlog
from rich.console import Console
from rich.live import Live

from syncline.cli.check import check_command
from syncline.cli.conflicts import conflicts_commands
from syncline.cli.contract import contract_commands
from syncline.cli.deletions import deletions_commands
from syncline.cli.explain import explain_command
from syncline.cli.held import held_commands
from syncline.cli.letters import letters_commands
from syncline.cli.partitions import partitions_command
from syncline.cli.replay import replay_command
from syncline.cli.resync import rebuild_command, resync_command
from syncline.cli.running import as_json, configured, run
from syncline.cli.status import results_command, status_command
from syncline.cli.verify import verify_command
from syncline.config.model import PostgresSystem
from syncline.contracts.topics import topics as all_topics
from syncline.runtime.admin import create_topics
from syncline.state.database import connect, migrate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="syncline")
def cli() -> None:
    """Keeps Salesforce and your own customer data in step, both ways, over Kafka.

    See it work on this machine: `syncline demo`. Then `syncline migrate`, `syncline topics`, `syncline check`, and
    start the services: python -m services.poller, services.mapper, services.writer.

    Settings come from the environment (SYNCLINE_KAFKA, SYNCLINE_DATABASE_URL, SYNCLINE_PIPELINES, ...).
    """


@cli.command()
@as_json
def demo(as_json: bool) -> None:
    """Both ways at once on this machine: orphans, edits, a crash, and the proof that both sides are equal."""
    from syncline.local.demo.data import Sizes
    from syncline.local.demo.run import Running
    from syncline.local.demo.run import demo as run_demo
    from syncline.local.demo.view import live, summary
    from syncline.local.machine import run_dir

    console = Console(stderr=as_json)

    async def go() -> bool:
        with run_dir() as folder, Live(console=console, refresh_per_second=4, transient=True) as view:

            async def show(running: Running) -> None:
                view.update(live(running))

            report = await run_demo(folder, say=console.print, show=show, sizes=Sizes())
        if as_json:
            click.echo(json.dumps(report.document(), indent=2))
        else:
            console.print(summary(report))
        return report.good

    sys.exit(0 if run(go()) else 1)


@cli.command()
@click.option("--fill/--empty", default=True, help="With the demo's records, or with nothing in either system.")
def up(fill: bool) -> None:
    """Keep the whole system running on this machine, to play with. Ctrl-C ends it."""
    from syncline.local.demo.up import keep_up
    from syncline.local.machine import run_dir

    console = Console()

    async def go() -> None:
        with run_dir(name="up") as folder:
            await keep_up(folder, say=console.print, fill=fill)

    run(go())


@cli.command(name="migrate")
@click.option("--hub", is_flag=True, help="Make the shipped hub schema in every PostgreSQL system that lacks it.")
def migrate_command(hub: bool) -> None:
    """Bring the state schema up to date, and install the change capture in every PostgreSQL system."""
    from syncline.hub.capture import create_hub, install

    async def go() -> None:
        settings, config = configured()
        async with connect(settings.database_url, application="syncline-migrate", size=1) as pool:
            applied = await migrate(pool)
            click.echo(f"state schema: {', '.join(applied) or 'up to date'}")
        for name, system in config.systems.items():
            if isinstance(system, PostgresSystem):
                async with connect(system.url, application="syncline-migrate", size=1) as pool:
                    if hub:
                        await create_hub(pool)
                    made = await install(pool, system.objects)
                    click.echo(f"change capture of {name}: {f'{len(made)} triggers' if made else 'up to date'}")

    run(go())


@cli.command()
def topics() -> None:
    """Create the topics that are missing; refuse those that do not fit."""

    async def go() -> None:
        settings, config = configured()
        wanted = all_topics(settings.names, config.sources, config.targets)
        made = await create_topics(
            settings.kafka, wanted, partitions=settings.partitions, replication=settings.replication
        )
        click.echo(f"{len(wanted)} topics, {len(made)} new")

    run(go())


@cli.command()
def schema() -> None:
    """Print the JSON Schema of pipelines.yaml, by which editors complete and check it."""
    from syncline.config.schema import page

    click.echo(page(), nl=False)


for command in (
    status_command,
    results_command,
    explain_command,
    verify_command,
    replay_command,
    resync_command,
    rebuild_command,
    partitions_command,
    held_commands,
    letters_commands,
    conflicts_commands,
    deletions_commands,
    contract_commands,
    check_command,
):
    cli.add_command(command)
for entry in entry_points(group="syncline.commands"):  # made of services' parts, which syncline does not import
    cli.add_command(entry.load())


def main() -> None:
    """Entry point. The libraries' logs are for services; a person gets errors as sentences."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # standard output is for --json
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    cli()
