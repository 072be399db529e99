"""Why two records differ, and what may be done about it, pure. Every difference has one reason.

- in flight: a change is under way, or nobody could look at it twice in the time that was given
- held: it waits for another record, or a person's consent
- conflict: both sides changed it; a person decides, or a policy has
- rejected: a dead letter says why it could not be written
- not mapped: the mapping is newer than what was read, or the record older than the first look-back
- drift: everything else, so something changed behind Syncline's back
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref, Value
from syncline.state.conflicts import Recorded
from syncline.timeline.held import Slot, awaited
from syncline.verify.compare import Mismatch
from syncline.verify.pairing import Pairing

Reason = Literal["in flight", "held", "conflict", "rejected", "not mapped", "drift"]
REASONS: tuple[Reason, ...] = get_args(Reason)
What = Literal["field", "missing", "gone", "mark"]
"""A field of a pair; a record without counterpart; a record of a pair that is no longer there; a record that bears the
name of somebody who is not its partner."""


NOT_FOUND = "PARENT_NOT_FOUND"
"""The poller's code for a record that it was asked for and that is not there."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that nobody has dealt with. version: of what was refused, None when that cannot be told."""

    id: str
    code: str
    pipeline: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the records that differ. consent: records whose deletion waits, and what for."""

    held: Mapping[Ref, Sequence[Slot]] = field(default_factory=dict)
    letters: Mapping[Ref, Sequence[Letter]] = field(default_factory=dict)
    conflicts: Mapping[tuple[Ref, Ref], Sequence[Recorded]] = field(default_factory=dict)
    consent: Mapping[Ref, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """why: for people, what the reason rests on. expected, held: of a field, what it should and does hold."""

    what: What
    reason: Reason
    why: str
    source: Ref
    target: Ref | None = None
    pipeline: str | None = None
    field: str | None = None
    expected: Value = None
    held: Value = None

    def document(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "reason": self.reason,
            "why": self.why,
            "pipeline": self.pipeline,
            "source": str(self.source),
            "target": str(self.target) if self.target else None,
            "field": self.field,
            "expected": self.expected,
            "held": self.held,
        }


def of_field(pairing: Pairing, link: Link, mismatch: Mismatch, facts: Facts, *, moving: bool) -> Difference:
    reason, why = (
        _disputed(pairing, link, mismatch, facts)
        or _rejected(facts, link, mismatch.source, mismatch.pipeline)
        or _held(pairing, facts, mismatch.source, mismatch.pipeline, mismatch.field)
        or (("in flight", IN_FLIGHT) if moving else None)
        or (("not mapped", UNMAPPED) if mismatch.never else None)
        or ("drift", f"changed unseen: {', '.join(map(str, mismatch.drifted))}")
    )
    return Difference(
        "field",
        reason,
        why,
        mismatch.source,
        mismatch.target,
        mismatch.pipeline,
        mismatch.field,
        mismatch.expected,
        mismatch.held,
    )


UNMAPPED = "never written under this mapping: have the record read again, by `syncline resync`"
IN_FLIGHT = "a change is on its way, or was not looked at twice: give it more time by --wait"


def of_missing(pairing: Pairing, ref: Ref, pipeline: str, facts: Facts, *, moving: bool, old: bool) -> Difference:
    reason, why = (
        _rejected(facts, None, ref, pipeline)
        or _held(pairing, facts, ref, pipeline, None)
        or (("in flight", IN_FLIGHT) if moving else None)
        or (("not mapped", "older than the first look-back: `syncline resync` reads it") if old else None)
        or ("drift", f"never seen, though {pipeline} wants it")
    )
    return Difference("missing", reason, why, ref, None, pipeline)


def of_gone(pairing: Pairing, link: Link, gone: Object, facts: Facts, *, moving: bool) -> Difference:
    lost, left = (link.source, link.target) if link.source.ref.kind == gone else (link.target, link.source)
    waits = facts.consent.get(lost.ref)
    reason: Reason
    why: str
    reason, why = (
        (("held", waits) if waits else None)
        or _rejected(facts, link, lost.ref, None)
        or (("in flight", IN_FLIGHT) if moving else None)
        or ("drift", f"deleted unseen: {lost.ref}")
    )
    return Difference("gone", reason, why, lost.ref, left.ref)


def of_mark(ref: Ref, partner: Ref, held: str) -> Difference:
    """No pipeline maps a mark, so no replay can put it right."""
    why = f"it names {held}, and is linked to {partner.id}: correct its external id by hand"
    return Difference("mark", "drift", why, partner, ref, expected=partner.id, held=held)


def _disputed(pairing: Pairing, link: Link, mismatch: Mismatch, facts: Facts) -> tuple[Reason, str] | None:
    if link.paused:
        return "conflict", "the pair is paused: syncline conflicts list --waiting"
    kind = mismatch.target.kind
    for each in reversed(facts.conflicts.get((mismatch.source, mismatch.target), ())):
        row = each.conflict
        if (
            row.field == mismatch.field
            and not each.resolved
            and (
                mismatch.disputed
                or (
                    pairing.same(kind, row.field, row.incoming, mismatch.expected)
                    and pairing.same(kind, row.field, row.present, mismatch.held)
                )
            )
        ):
            return "conflict", f"conflict {each.id}, decided: {row.decided}"
    if mismatch.disputed:
        return "conflict", "both sides hold a value of their own: the next change of either decides"
    return None


def _rejected(facts: Facts, link: Link | None, ref: Ref, pipeline: str | None) -> tuple[Reason, str] | None:
    """A letter counts no longer when something newer was applied since, or when it misses a record that is there."""
    applied = "" if link is None else (link.source if link.source.ref == ref else link.target).version
    for letter in facts.letters.get(ref, ()):
        about = None in (pipeline, letter.pipeline) or letter.pipeline == pipeline
        outdated = letter.version is not None and letter.version <= applied
        if about and not outdated and not (letter.code == NOT_FOUND and pipeline):
            return "rejected", f"{letter.code}: syncline dead-letters show {letter.id}"
    return None


def _held(pairing: Pairing, facts: Facts, ref: Ref, pipeline: str, name: str | None) -> tuple[Reason, str] | None:
    """Who waits for a parent waits with all fields; who waits for a reference, with that one."""
    route = next(each for each in pairing.routes if each.name == pipeline)
    for slot in facts.held.get(ref, ()):
        if slot.pipeline == pipeline:
            whole = route.parent is not None and slot.field == route.parent.field
            if whole or name is None or slot.field == name or (slot.field is None and name in route.references):
                return "held", f"waits for {awaited(slot.on, slot.child)}: syncline held list"
    return None
