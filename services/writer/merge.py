"""The three-way merge of one field, pure: what was agreed, what the target holds now, what comes in.

A field is only overwritten when the target still holds what was agreed. Where it holds something else, both sides
changed it, and the field's policy decides; the side that loses is recorded, never dropped unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.writer.sinks import Present
from syncline.contracts.command import Command
from syncline.contracts.link import Side
from syncline.contracts.ref import Fields, Value
from syncline.contracts.transforms import transformed

UNKNOWN: Any = object()
"""A field that was never agreed on; differs from every value, null included."""
SKEW = timedelta(seconds=2)
"""Times closer than this count as equal: Salesforce keeps whole seconds, and two clocks are never one. A time that is
ahead of the writer's own clock counts as now, so that a clock that runs fast does not win for ever."""

Decided = Literal["incoming", "present", "review"]


@dataclass(frozen=True, slots=True)
class Clash:
    """decided: `incoming`, `present`, or `review` (which keeps both until a person decides)."""

    field: str
    agreed: Value
    incoming: Value
    present: Value
    decided: Decided


@dataclass(frozen=True, slots=True)
class Merged:
    """patch is what to send; known is what the target then is known to hold besides."""

    patch: Fields
    known: Fields
    clashes: tuple[Clash, ...]


def same(one: Value, other: Value) -> bool:
    """Equal as field values: 1 and 1.0 are, true and 1 are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def changed(command: Command, source: Side, target: Side) -> Fields:
    """The mapped values worth writing: they differ from what the target is known to hold, and a source field behind
    them differs from what the source was known to hold.

    The second half is what ends a loop: after a lossy transform the two sides rightly hold different values, and
    only a change by someone is a reason to write again. So it is with a contested field: it was offered before.
    """
    met = target.known.keys() | set(target.contested)
    return {
        field: value
        for field, value in command.fields.items()
        if not same(target.known.get(field, UNKNOWN), value)
        and (
            field not in met
            or not command.inputs[field]
            or any(not same(source.known.get(each, UNKNOWN), command.seen[each]) for each in command.inputs[field])
        )
    }


def merge(command: Command, wanted: Fields, agreed: Mapping[str, Value], present: Present, *, now: datetime) -> Merged:
    """`wanted` against the target as it is now; `agreed` is what both sides were known to share, UNKNOWN for what they
    never did though both held something."""
    patch: Fields = {}
    known: Fields = {}
    clashes = []
    marked = bears_mark(command, present)
    for field, incoming in wanted.items():
        held = present.values.get(field)
        base = agreed.get(field)
        if same(held, incoming):
            known[field] = incoming
        elif incoming is None and field not in agreed and not marked:
            known[field] = None  # an empty field never blanks what was never agreed on; the other side fills it
        elif same(held, base) or (held is None and field not in agreed):
            patch[field] = incoming
        else:
            decided = decide(command, field, present, now=now)
            clashes.append(Clash(field, None if base is UNKNOWN else base, incoming, held, decided))
            if decided == "incoming":
                patch[field] = incoming
            elif field in agreed and base is not UNKNOWN:
                # What was agreed stays, so that the target's own change is still one when its event comes.
                known[field] = base
    for field, steps in command.derived.items():
        held = present.values.get(field)
        if not same(value := transformed(held, steps), held):
            patch[field] = value
    return Merged(patch, known, tuple(clashes))


def bears_mark(command: Command, present: Present) -> bool:
    """The target record's external-ID field names the source record: Syncline made or linked it before."""
    return command.key is not None and same(present.values.get(command.key), command.source.id)


def decide(command: Command, field: str, present: Present, *, now: datetime) -> Decided:
    """Who wins. `latest` goes by the sides' own times; equal times go to the same system from both directions."""
    policy = command.conflict.get(field) or command.conflict.get("*", "latest")
    if policy == "review":
        return "review"
    if policy == "latest":
        ours, theirs = (min(datetime.fromisoformat(time), now) for time in (command.time, present.time))
        if abs(ours - theirs) < SKEW:
            return "incoming" if command.source.system > command.target.system else "present"
        return "incoming" if ours > theirs else "present"
    return "incoming" if policy == command.source.system else "present"
