"""The demo as people see it: a live table of each stage, then a summary."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from syncline.local.demo.run import Report, Running


def live(running: Running) -> RenderableType:
    """Each stage's counts, what is held and for whom, and what it costs in API calls."""
    seen = running.seen
    stages = Table(title=running.step, title_justify="left", expand=False)
    stages.add_column("stage")
    stages.add_column("what")
    stages.add_column("count", justify="right")
    for kind, count in sorted(seen.events.items()):
        stages.add_row("poller", f"changes of {kind}", f"{count:,}")
    stages.add_row("mapper", f"held now (peak {seen.peak:,})", f"{len(seen.held):,}")
    stages.add_row("mapper", "parents asked for", f"{seen.asked:,}")
    for target, count in sorted(seen.commands.items()):
        stages.add_row("mapper", f"commands for {target}", f"{count:,}")
    for outcome in ("created", "patched", "unchanged", "conflict", "skipped", "rejected"):
        stages.add_row("writer" if outcome != "skipped" else "", outcome, f"{seen.total(outcome):,}")
    stages.add_row("", "dead letters", f"{len(seen.letters):,}")
    stages.add_row("Salesforce", "API calls: " + _calls(running.calls), f"{sum(running.calls.values()):,}")
    waiting = seen.waiting_for()
    lines = [f"{who} is waited for by {count}" for who, count in waiting[:4]]
    if len(waiting) > len(lines):
        lines.append(f"... and {len(waiting) - len(lines):,} more")
    return Group(stages, *([Panel("\n".join(lines), title="held", expand=False)] if lines else []))


def summary(report: Report) -> RenderableType:
    document = report.document()
    table = Table(title="Both sides, field by field", title_justify="left", show_header=False)
    for system, objects in report.records.items():
        table.add_row(f"records in {system}", ", ".join(f"{count:,} {name}" for name, count in objects.items()))
    table.add_row(
        "created / patched / unchanged", " / ".join(f"{document[e]:,}" for e in ("created", "patched", "unchanged"))
    )
    for reason, count in document["skipped"].items():
        table.add_row("skipped", f"{count:,}: {reason}")
    table.add_row("conflicts, recorded", f"{report.conflicts:,}")
    table.add_row("held", f"peak {report.seen.peak:,}, now {len(report.seen.held):,}")
    table.add_row("dead letters", f"{len(report.seen.letters):,}")
    table.add_row("API calls", f"{_calls(report.calls)} (writes of the first load: {report.first_load_write_calls})")
    table.add_row("killed with -9 and restarted", report.killed)
    table.add_row("compared", f"{report.comparison.compared:,} pairs, {report.comparison.fields:,} fields")
    table.add_row("seconds", ", ".join(f"{name} {value}" for name, value in document["seconds"].items()))
    verdict = "[bold green]equal: nothing differs, nothing is unaccounted for" if report.good else "[bold red]not equal"
    return Group(table, verdict)


def _calls(calls: object) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in dict(calls).items() if count)  # type: ignore[call-overload]
