"""`syncline verify`: whether both live systems are equal, and on what evidence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from syncline.cli.running import as_json, configured, limit, printable, run
from syncline.contracts.ref import Object
from syncline.verify.reasons import REASONS, Difference
from syncline.verify.report import Report
from syncline.verify.run import verify

STYLES = {"drift": "bold red", "rejected": "red", "conflict": "yellow", "held": "cyan"}
REMEDIES = {
    "in flight": "give it more time: syncline verify --wait 300; see syncline status",
    "held": "syncline held list",
    "conflict": "syncline conflicts list",
    "rejected": "syncline dead-letters list",
    "not mapped": "syncline resync",
    "drift": "syncline verify --repair",
}


class Named(click.ParamType):
    name = "system.object"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Object:
        if isinstance(value, Object):
            return value
        system, _, name = value.partition(".")
        if not system or not name:
            self.fail(f"{value!r} names no object: write it as in pipelines.yaml, like salesforce.Contact", param, ctx)
        return Object(system, name)


@click.command("verify")
@click.option("--object", "only", type=Named(), multiple=True, help="Only this object and those it is paired with.")
@click.option("--repair", "mend", is_flag=True, help="Have what drifted read again, which puts it right.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="What is under way has so long to arrive, and what is repaired once more.",
)
@limit
@as_json
def verify_command(only: tuple[Object, ...], mend: bool, wait: float, limit: int, as_json: bool) -> None:
    """Whether both live systems are equal; exit 1 when they are not.

    Reads both sides whole, 2,000 rows a call, compares them with what was agreed by checksum, and looks again, field by
    field, only at the pairs whose checksums differ. Tells of each difference why: in flight, held, conflict, rejected,
    not mapped, or drift, which changed behind Syncline's back. Needs no service to run; --repair does.
    """

    async def go() -> Report:
        settings, config = configured()
        with _reading() as progress:
            return await verify(settings, config, only=only, mend=mend, wait=wait, progress=progress)

    report: Report = run(go())
    if as_json:
        click.echo(json.dumps(report.document(), indent=2))
    else:
        Console().print(_view(report, limit))
    sys.exit(0 if report.equal else 1)


@contextmanager
def _reading() -> Iterator[Callable[[str, int], None]]:
    """On standard error, for people only: which object is being read, and how far."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("describing", total=None)

        def read(what: str, rows: int) -> None:
            bar.update(task, description=f"{what} {rows:,}" if rows else what)

        yield read


def _view(report: Report, most: int) -> RenderableType:
    shown = [_objects(report), _pairs(report)]
    if report.repaired:
        shown.append(_differences("repaired", report.repaired[:most]))
    if report.differences:
        shown.append(_differences("differs", report.differences[:most]))
    return Group(*shown, *(Text(printable(line)) for line in _lines(report, most)))


def _objects(report: Report) -> Table:
    table = Table("object")
    for column in ("rows", "linked", "left out"):
        table.add_column(column, justify="right")
    table.add_column("because")
    for name, read in sorted(report.objects.items()):
        why = ", ".join(f"{count:,} {reason}" for reason, count in read.left_out.most_common())
        words = (f"{read.rows:,}", f"{read.linked:,}", f"{read.left_out.total():,}", printable(why))
        table.add_row(Text(name), *(Text(word, overflow="fold") for word in words))
    return table


def _pairs(report: Report) -> Table:
    table = Table("pairs of")
    for column in ("buckets", "differed", "read again"):
        table.add_column(column, justify="right")
    table.add_column("checksums")
    for name, compared in sorted(report.pairs.items()):
        counts = (compared.buckets, compared.differing, compared.again)
        sums = "\n".join(f"{kind} {checksum}" for kind, checksum in compared.checksums.items())
        table.add_row(Text(name), *(f"{count:,}" for count in counts), Text(sums, overflow="fold"))
    return table


def _differences(head: str, found: list[Difference]) -> Table:
    table = Table(head)
    for column in ("record", "what", "reason", "why"):
        table.add_column(column, overflow="fold")
    for each in found:
        where = f"{each.source} -> {each.target}" if each.target else str(each.source)
        words = (where, _what(each), each.reason, each.why)
        cells = [Text(printable(word)) for word in words]
        cells[2].stylize(STYLES.get(each.reason, ""))
        table.add_row(each.pipeline or "", *cells)
    return table


def _what(each: Difference) -> str:
    if each.what == "field":
        return f"{each.field} is {_shown(each.held)}, not {_shown(each.expected)}"
    if each.what == "missing":
        return "has no counterpart"
    if each.what == "gone":
        return "is deleted, its counterpart is not"
    return f"bears the name of {each.held}"


def _shown(value: Any) -> str:
    return "(empty)" if value is None else value if isinstance(value, str) else json.dumps(value)


def _lines(report: Report, most: int) -> Iterator[str]:
    for system, calls in sorted(report.calls.items()):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(calls.items()))
        price = report.price(system)
        by_rows = f"; {price:,.0f} to read 100,000 rows" if price is not None else ""
        yield f"calls to {system}: {calls.total():,} ({kinds}){by_rows}"
    for kind in report.unread:
        yield f"{kind} is only sent, and cannot be compared"
    if len(report.differences) > most:
        yield f"{len(report.differences) - most:,} more differences: --limit shows more, --json all"
    if report.unlisted:
        yield f"{report.unlisted:,} more records differ than can be listed: this is work for `syncline resync`"
    if report.repaired:
        yield f"repaired: {len(report.repaired):,}"
    at = f"{report.at:%Y-%m-%d %H:%M:%S} UTC"
    if report.equal:
        yield f"equal as of {at}: {report.rows:,} rows in {report.seconds:.1f} s"
        return
    for reason in REASONS:
        if count := report.counts[reason]:
            yield f"{count:,} {reason}: {REMEDIES[reason]}"
    yield f"not equal as of {at}"
