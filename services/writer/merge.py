"""The three-way merge of one field, pure: what was agreed, what the target holds now, what comes in.

A field is only overwritten when the target still holds what was agreed. Where it holds something else, both sides
changed it, and the field's policy decides; the side that loses is recorded, never dropped unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.writer.sinks import Present
from syncline.contracts.command import Command
from syncline.contracts.ref import Fields, Value

UNKNOWN: Any = object()
"""A field that was never agreed on; differs from every value, null included."""


@dataclass(frozen=True, slots=True)
class Clash:
    """decided: `incoming`, `present`, or `review` (which keeps the present value until a person decides)."""

    field: str
    agreed: Value
    incoming: Value
    present: Value
    decided: str


@dataclass(frozen=True, slots=True)
class Merged:
    """patch is what to send; known is what the target then is known to hold besides."""

    patch: Fields
    known: Fields
    clashes: tuple[Clash, ...]


def same(one: Value, other: Value) -> bool:
    """Equal as field values: 1 and 1.0 are, true and 1 are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def changed(command: Command, source: Mapping[str, Value], target: Mapping[str, Value]) -> Fields:
    """The mapped values worth writing: they differ from what the target is known to hold (`target`), and a source
    field behind them differs from what the source was known to hold (`source`).

    The second half is what ends a loop: after a lossy transform the two sides rightly hold different values, and
    only a change by someone is a reason to write again.
    """
    return {
        field: value
        for field, value in command.fields.items()
        if not same(target.get(field, UNKNOWN), value)
        and (
            field not in target
            or not command.inputs[field]
            or any(not same(source.get(each, UNKNOWN), command.seen[each]) for each in command.inputs[field])
        )
    }


def merge(command: Command, wanted: Fields, agreed: Mapping[str, Value], present: Present) -> Merged:
    """`wanted` against the target as it is now; `agreed` is what both sides were known to share."""
    patch: Fields = {}
    known: Fields = {}
    clashes = []
    marked = bears_mark(command, present)
    for field, incoming in wanted.items():
        now = present.values.get(field)
        base = agreed.get(field)
        if same(now, incoming):
            known[field] = incoming
        elif incoming is None and field not in agreed and not marked:
            known[field] = None  # an empty field never blanks what was never agreed on; the other side fills it
        elif same(now, base) or (now is None and field not in agreed):
            patch[field] = incoming
        else:
            decided = decide(command, field, present)
            clashes.append(Clash(field, base, incoming, now, decided))
            if decided == "incoming":
                patch[field] = incoming
            else:
                # What was agreed stays, so that the target's own change is still one when its event comes.
                known[field] = base
    return Merged(patch, known, tuple(clashes))


def bears_mark(command: Command, present: Present) -> bool:
    """The target record's external-ID field names the source record: Syncline made or linked it before."""
    return command.key is not None and same(present.values.get(command.key), command.source.id)


def decide(command: Command, field: str, present: Present) -> str:
    """Who wins. `latest` goes by the sides' own times; equal times go to the same system from both directions."""
    policy = command.conflict.get(field) or command.conflict.get("*", "latest")
    if policy == "review":
        return "review"
    if policy == "latest":
        ours = (datetime.fromisoformat(command.time), command.source.system)
        theirs = (datetime.fromisoformat(present.time), command.target.system)
        return "incoming" if ours > theirs else "present"
    return "incoming" if policy == command.source.system else "present"
