"""A write that went over what somebody had changed just then, pure: Salesforce cannot compare and set, so its sink
looks while it writes. What the look shows to have been lost is recorded, and put back where it wins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from services.writer.merge import Clash, decide, same
from services.writer.plan import Step, conflicts
from services.writer.sinks import Saved, Write, Written
from syncline.contracts.conflict import Conflict
from syncline.contracts.errors import Transient


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A step whose write went over what somebody had changed just then. back: puts that somebody's values back where
    they win. conflicts: what to record before."""

    step: Step
    back: Write | None
    conflicts: list[Conflict]


def overtaken(step: Step, saved: Saved, *, now: datetime) -> Overtaken | None:
    """None unless the record held other values when it was written than when the step was planned."""
    command, present, before = step.command, step.present, saved.before
    if present is None or before is None:
        return None
    agreed = step.link.target.known if step.link else {}
    clashes = [
        Clash(field, agreed.get(field), sent, before.values[field], decide(command, field, before, now=now))
        for field, sent in (step.patch or {}).items()
        if field != command.key
        and not same(before.values[field], present.values.get(field))
        and not same(before.values[field], sent)
    ]
    if not clashes:
        return None
    back = {clash.field: clash.present for clash in clashes if clash.decided != "incoming"}
    changed = replace(
        step,
        present=before,
        patch={field: value for field, value in (step.patch or {}).items() if field not in back},
        known={**(step.known or {}), **{field: agreed[field] for field in back if field in agreed}},
        clashes=tuple(clashes),
    )
    sent = {field: (step.patch or {})[field] for field in back}
    return Overtaken(
        replace(changed, clashes=(*step.clashes, *clashes)),
        Write(before.id, back, None, sent) if back else None,
        conflicts(changed),
    )


def put_back_again(write: Write, outcome: Written) -> Write | None:
    """A row that was locked, or whose owner typed yet another value while an older one was put back."""
    if isinstance(outcome, Transient):
        return write
    if not isinstance(outcome, Saved) or not outcome.before:
        return None
    now, meant = outcome.before.values, write.expected or {}
    newer = {
        field: now[field]
        for field, value in write.values.items()
        if not same(now[field], meant[field]) and not same(now[field], value)
    }
    return Write(write.id, newer, None, {field: write.values[field] for field in newer}) if newer else None
