"""`syncline status` and `syncline results`: how it stands, and what a run came to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from syncline.cli.resync import document
from syncline.cli.running import Since, as_json, configured, printable, reading, run
from syncline.contracts.result import OUTCOMES
from syncline.oncall.report import Report, report
from syncline.oncall.status import Status, status
from syncline.state.cursors import Reading
from syncline.timeline.entry import duration

REASONS = 20
"""So many reasons a person is shown; --json has all."""


@click.command("status")
@click.option("--quota", is_flag=True, help="The used share of Salesforce's daily calls; costs one of them.")
@click.option("--quick", is_flag=True, help="Leave out held records and dead letters, whose topics are read whole.")
@as_json
def status_command(quota: bool, quick: bool, as_json: bool) -> None:
    """How it stands: replicas and lag of each service, cursors, conflicts, deletions, held records, dead letters.

    Asks Kafka and PostgreSQL, and no service: it tells as much when none runs.
    """

    async def go() -> Status:
        settings, config = configured()
        with reading() as progress:
            return await status(settings, config, quota=quota, quick=quick, progress=progress)

    found: Status = run(go())
    if as_json:
        click.echo(json.dumps(_status(found), indent=2))
        return
    Console().print(Group(_stages(found), _readings(found)))
    for line in _lines(found):
        click.echo(line)


def _status(found: Status) -> dict[str, Any]:
    stages = [
        {"stage": stage, "replicas": group.members, "idle": group.idle, "lag": group.total, "topics": group.lag}
        for stage, group in found.stages.items()
    ]
    readings = [
        {"object": str(each.kind), "reader": each.reader, "position": each.position, "moved_at": _iso(each.moved)}
        for each in found.readings
    ]
    return {
        "at": _iso(found.at),
        "stages": stages,
        "mappers": [asdict(each) for each in found.mappers],
        "cursors": readings,
        "conflicts": {"waiting": found.conflicts_waiting, "last_day": found.conflicts_last_day},
        "deletions": [{**each._asdict(), "since": _iso(each.since)} for each in found.deletions],
        "resyncs": [document(each) for each in found.resyncs],
        "held": {"count": found.held.count, "since": _iso(found.held.since)} if found.held else None,
        "dead_letters": None
        if found.letters is None
        else {
            "count": found.letters.total(),
            "kinds": [{"stage": s, "code": c, "count": n} for (s, c), n in found.letters.most_common()],
        },
        "quota": {name: {"used": each.used, "maximum": each.maximum} for name, each in found.quota.items()},
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None


def _stages(found: Status) -> Table:
    table = Table("service")
    table.add_column("replicas", justify="right")
    table.add_column("behind", justify="right")
    table.add_column("on")
    for stage, group in found.stages.items():
        behind = ", ".join(f"{topic} {count:,}" for topic, count in group.lag.items() if count)
        idle = f" ({group.idle:,} idle)" if group.idle else ""
        replicas = Text(f"{group.members:,}{idle}", style="" if group.members else "bold red")
        table.add_row(stage, replicas, f"{group.total:,}", Text(behind, overflow="fold"))
    return table


def _readings(found: Status) -> Table:
    table = Table("object", "read by", "position", "moved")
    for each in found.readings:
        words = (str(each.kind), each.reader or "nobody", _position(each), _ago(each.moved, found.at))
        table.add_row(*(Text(printable(word), overflow="fold") for word in words))
    return table


def _position(each: Reading) -> str:
    if each.position is None:
        return "never read"
    return ", ".join(f"{name} {value}" for name, value in each.position.items())


def _ago(at: datetime | None, now: datetime) -> str:
    return f"{duration(now - at)} ago" if at else ""


def _lines(found: Status) -> Iterable[str]:
    """Each with the command that goes on from there, where there is anything to do."""
    for mapper in found.mappers:
        follows = f", follows {_numbers(mapper.follows)}" if mapper.follows else ""
        yield f"mapper        {printable(mapper.instance)} serves {_numbers(mapper.serves)}{follows}"
    waiting = found.conflicts_waiting
    yield (
        f"conflicts     {waiting:,} wait for a person, {found.conflicts_last_day:,} recorded in the last 24 hours"
        + (": syncline conflicts list --waiting" if waiting else "")
    )
    for each in found.deletions:
        yield f"deletions     {each.deletions:,} of {each.pipeline} {each.state}: syncline deletions list"
    for resync in found.resyncs:
        yield f"resync        {resync.id} of {resync.wanted.kind}: {resync.read:,} records read so far"
    if found.held:
        longest = f", the longest for {duration(found.at - found.held.since)}" if found.held.since else ""
        more = ": syncline held list" if found.held.count else ""
        yield f"held          {found.held.count:,}{longest}{more}"
    if found.letters is not None:
        kinds = ", ".join(f"{count:,} {printable(code)}" for (_, code), count in found.letters.most_common(5))
        count = found.letters.total()
        yield f"dead letters  {count:,}" + (f" ({kinds}): syncline dead-letters list" if count else "")
    for name, used in found.quota.items():
        yield f"quota         {name}: {used.used:,} of {used.maximum:,} calls in 24 hours ({used.share:.1%})"


def _numbers(partitions: list[int]) -> str:
    """As in: 4 partitions (0, 1, 2, 5)."""
    word = "partition" if len(partitions) == 1 else "partitions"
    return f"{len(partitions)} {word} ({', '.join(map(str, partitions))})" if partitions else "no partition"


@click.command("results")
@click.option("--since", type=Since(), help="No older than 90s, 15m, 2h, 3d, or than a time (UTC unless it says).")
@click.option("--until", type=Since(), help="Older than this, in the same words.")
@click.option("--pipeline", help="Of this pipeline alone.")
@as_json
def results_command(since: datetime | None, until: datetime | None, pipeline: str | None, as_json: bool) -> None:
    """What a run came to: results by pipeline and outcome, with the reasons, over a span of time.

    Without --since from the oldest that is kept (14 days). What a killed service did twice counts twice.
    """
    if since and until and since >= until:
        raise click.UsageError("--until must be later than --since")

    async def go() -> Report:
        settings, _ = configured()
        with reading() as progress:
            return await report(settings, pipeline=pipeline, since=since, until=until, progress=progress)

    found: Report = run(go())
    if as_json:
        click.echo(json.dumps(_report(found, since, until), indent=2))
    elif not found.outcomes:
        click.echo("no result in this span of time")
    else:
        Console().print(_outcomes(found))
        for (name, outcome, why), count in found.reasons.most_common(REASONS):
            click.echo(f"  {count:,} {outcome} in {printable(name)}: {printable(why)}")
        assert found.first
        assert found.last
        click.echo(
            f"{found.outcomes.total():,} results, {found.first:%m-%d %H:%M:%S} to {found.last:%m-%d %H:%M:%S} UTC"
        )


def _pipelines(found: Report) -> list[str]:
    return sorted({name for name, _ in found.outcomes})


def _report(found: Report, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    pipelines = {
        name: {
            **{outcome: found.outcomes[name, outcome] for outcome in sorted(OUTCOMES)},
            "created": found.created[name],
        }
        for name in _pipelines(found)
    }
    reasons = [
        {"pipeline": name, "outcome": outcome, "reason": why, "count": count}
        for (name, outcome, why), count in found.reasons.most_common()
    ]
    return {
        "since": _iso(since),
        "until": _iso(until),
        "first": _iso(found.first),
        "last": _iso(found.last),
        "count": found.outcomes.total(),
        "unreadable": found.unreadable,
        "pipelines": pipelines,
        "reasons": reasons,
    }


def _outcomes(found: Report) -> Table:
    table = Table("pipeline")
    columns = ("written", "created", "unchanged", "skipped", "conflict", "rejected")
    for column in columns:
        table.add_column(f"of these {column}" if column == "created" else column, justify="right")
    for name in _pipelines(found):
        counts = {**{outcome: found.outcomes[name, outcome] for outcome in OUTCOMES}, "created": found.created[name]}
        table.add_row(Text(printable(name)), *(f"{counts[column]:,}" for column in columns))
    return table
