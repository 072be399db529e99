"""A plan in words for people, and as documents for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from services.planner.difference import Difference, Kind
from services.planner.entry import Entry, Field
from services.planner.price import Price
from services.planner.run import Comparison, Plan
from syncline.cli.running import printable
from syncline.contracts.ref import Value
from syncline.contracts.result import Outcome

OUTCOMES: tuple[Outcome, ...] = ("written", "unchanged", "skipped", "conflict", "rejected")
REASONS = 10
"""So many reasons a person is shown; --json has all."""
STYLES = {"create": "green", "update": "yellow", "delete": "red", "keep": "dim"}
HEADS: dict[Kind, str] = {
    "added": "only the new mapping",
    "dropped": "only the present mapping",
    "changed": "otherwise than by the present mapping",
}


def summary(plan: Plan) -> dict[str, Any]:
    """For machines: everything but the writes."""
    tally = plan.flow.tally
    reasons = [
        {"pipeline": name, "outcome": outcome, "reason": why, "count": count}
        for (name, outcome, why), count in tally.report.reasons.most_common()
    ]
    letters = [
        {
            "stage": stage,
            "code": code,
            "count": count,
            "example": {
                "record": (example := tally.examples[stage, code]).ref,
                "message": example.message,
                "remedy": example.remedy,
            },
        }
        for (stage, code), count in tally.letters.most_common()
    ]
    return {
        "at": _iso(plan.at),
        "changes": tally.changes,
        "pipelines": _counts(plan),
        "records": {op: tally.entries[op] for op in ("create", "update", "delete", "keep")},
        "fields": dict(tally.why.most_common()),
        "reasons": reasons,
        "dead_letters": letters,
        "conflicts": tally.conflicts,
        "asked_for": tally.asked,
        "behind": {group.name: group.total for group in plan.behind},
        "price": {name: _price(price) for name, price in plan.prices.items()},
    }


def compared(found: Comparison, kinds: Counter[Kind]) -> dict[str, Any]:
    """For machines: everything but the differences."""
    return {
        "records": found.records,
        "differences": {kind: kinds[kind] for kind in HEADS},
        "not_captured": [
            {
                "object": str(kind),
                "field": field,
                "records": count,
                "needs": None if kind in found.streamed else "syncline resync",
            }
            for (kind, field), count in sorted(found.lacking.items())
        ],
        "new": summary(found.new),
        "present": summary(found.present),
    }


def streamed(head: dict[str, Any], name: str, each: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One JSON object, its list `name` last, as it comes."""
    yield json.dumps(head, indent=2).removesuffix("\n}") + f',\n  "{name}": ['
    comma = ""
    for document in each:
        yield f"{comma}\n    {json.dumps(document)}"
        comma = ","
    yield "\n  ]\n}\n" if comma else "]\n}\n"


def outcomes(plan: Plan) -> Table:
    table = Table("pipeline")
    columns = ("written", "created", "unchanged", "skipped", "conflict", "rejected", "held")
    for column in columns:
        table.add_column(f"of these {column}" if column == "created" else column, justify="right")
    for name, found in _counts(plan).items():
        table.add_row(Text(printable(name)), *(f"{found[column]:,}" for column in columns))
    return table


def lines(plan: Plan) -> Iterator[str]:
    """What a person has to know besides the table."""
    tally = plan.flow.tally
    ops = tally.entries
    written = ops["create"] + ops["update"] + ops["delete"]
    yield (
        f"writes        {written:,} of {tally.changes:,} changes: {ops['create']:,} records made, "
        f"{ops['update']:,} changed, {ops['delete']:,} deleted"
    )
    if tally.why:
        yield f"fields        {', '.join(f'{count:,} {why}' for why, count in tally.why.most_common())}"
    for name, price in plan.prices.items():
        yield (
            f"price         {name}: {price.total:,} calls ({price.reads:,} to read, {price.writes:,} to write), "
            f"{price.share:.2%} of {price.maximum:,} a day, of which {price.used:,} are used; "
            f"this plan took {price.planning:,}"
        )
    for (name, outcome, why), count in tally.report.reasons.most_common(REASONS):
        yield f"  {count:,} {outcome} in {printable(name)}: {printable(why)}"
    for (stage, code), count in tally.letters.most_common(REASONS):
        example = tally.examples[stage, code]
        yield f"dead letters  {count:,} {printable(code)} by the {stage}, the first: {printable(example.message)}"
    if tally.asked:
        yield f"asked for     {tally.asked:,} records, from their sources: what they bring is not in this plan"
    for group in plan.behind:
        if group.total:
            yield f"on the way    {group.total:,} messages to {group.name}: they come first, and are not in this plan"


def differing(found: Comparison, kinds: Counter[Kind]) -> Iterator[str]:
    yield (
        f"difference    of {found.records:,} records: {kinds['added']:,} written by the new mapping alone, "
        f"{kinds['dropped']:,} by the present one alone, {kinds['changed']:,} otherwise"
    )
    for (kind, field), count in sorted(found.lacking.items()):
        what = "the stream did not bring it" if kind in found.streamed else "needs `syncline resync`"
        yield f"not captured  {kind.system}.{kind.name}: {printable(field)}, in {count:,} records: {what}"


def shown(each: Entry | Difference) -> Iterator[Text]:
    """A write, or a difference, as it is read by a person."""
    if isinstance(each, Entry):
        yield from _entry(each)
        return
    for entry in each.new:
        yield from _entry(entry, HEADS[each.kind])
    for entry in each.present:
        yield from _entry(entry, "instead of" if each.new else HEADS[each.kind])


def _entry(entry: Entry, head: str = "") -> Iterator[Text]:
    yield Text.assemble(
        (f"{entry.op} ", STYLES[entry.op]),
        (printable(str(entry.target)), "bold"),
        f" from {printable(str(entry.record))} by {printable(entry.pipeline)}",
        f" ({head})" if head else "",
    )
    width = max((len(each.name) for each in entry.fields), default=0)
    for each in entry.fields:
        yield _field(each, width)
    yield Text()


def _field(each: Field, width: int) -> Text:
    return Text.assemble(
        f"  {printable(each.name):<{width}}  ",
        (_value(each.old), "red"),
        " -> ",
        (_value(each.new), "green"),
        (f"  {each.why}{f': {printable(each.detail)}' if each.detail else ''}", "dim"),
    )


def _value(value: Value) -> str:
    return printable(json.dumps(value, ensure_ascii=False))


def _counts(plan: Plan) -> dict[str, dict[str, int]]:
    """By pipeline, what becomes of its commands."""
    report, held = plan.flow.tally.report, plan.flow.tally.held
    return {
        name: {
            **{outcome: report.outcomes[name, outcome] for outcome in OUTCOMES},
            "created": report.created[name],
            "held": held[name],
        }
        for name in sorted({name for name, _ in report.outcomes} | held.keys())
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "calls": price.total,
        "reads": price.reads,
        "writes": price.writes,
        "share_of_day": round(price.share, 6),
        "used": price.used,
        "maximum": price.maximum,
        "planning": price.planning,
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
