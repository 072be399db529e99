"""What to do about a batch of commands, pure: which are news, what to send, and what is known after it.

The shell (`loop`) loads links and present values between these steps and sends what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from msgspec import structs

from services.writer.merge import UNKNOWN, Clash, bears_mark, changed, merge, same
from services.writer.sinks import Present, Saved, Write
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Ref
from syncline.contracts.result import Outcome, Result

BOUNCES = 20
"""So many writes in a row, each going back where the one before came from, are no people at work: the pipelines'
transforms do not agree, and the pair is paused."""
BOUNCE_WINDOW = timedelta(seconds=60)


def newest(commands: Iterable[Command]) -> list[Command]:
    """One command per pipeline and record: the newest, with the deferred references that are no older than it.

    Among equal versions the later arrival wins. Order of first arrival is kept.
    """
    groups: dict[tuple[str, Ref], list[Command]] = {}
    for command in commands:
        groups.setdefault((command.pipeline, command.source), []).append(command)
    return [_fold(group) for group in groups.values()]


def asked(commands: Iterable[Command]) -> dict[tuple[str, Ref], list[Fields]]:
    """By pipeline and record, all that the commands of a pass ask for, those included that `newest` leaves out: one of
    them may have made the target record before the writer was killed and these commands came again."""
    found: dict[tuple[str, Ref], list[Fields]] = {}
    for command in commands:
        found.setdefault((command.pipeline, command.source), []).append(command.fields)
    return found


def _fold(group: Sequence[Command]) -> Command:
    whole = [command for command in group if command.creates]
    base = max(reversed(whole), key=lambda each: each.version) if whole else None
    references = [each for each in group if not each.creates and (base is None or each.version >= base.version)]
    for each in sorted(references, key=lambda each: each.version):
        if base is None:
            base = each
        elif base.op == "upsert":
            base = structs.replace(
                base,
                version=max(base.version, each.version),
                fields={**base.fields, **each.fields},
                seen={**base.seen, **each.seen},
                inputs={**base.inputs, **each.inputs},
            )
    assert base is not None
    return base


@dataclass(frozen=True, slots=True)
class Step:
    """A command on its way: what it found, and what it will send.

    link: the stored one; revives: an ended one that begins again. present: the target record now, None when it is to
    be created, or need not be looked at. patch None: nothing to send.
    """

    command: Command
    link: Link | None
    present: Present | None = None
    patch: Fields | None = None
    known: Fields | None = None
    clashes: tuple[Clash, ...] = ()
    revives: Link | None = None

    @property
    def write(self) -> Write | None:
        if self.patch is None:
            return None
        if self.present is None:
            key = (self.command.key, self.command.source.id) if self.command.key else None
            return Write(None, self.patch, key)
        return Write(self.present.id, self.patch, None, {field: self.present.values.get(field) for field in self.patch})

    @property
    def deletes(self) -> bool:
        return self.command.op == "delete" and self.command.on_delete == "delete"

    @property
    def ends(self) -> bool:
        """The pair is none after this."""
        return self.command.op == "delete" and self.command.on_delete != "deactivate"


Settled = tuple[Outcome, str]
"""An outcome that needs no look at the target, and why."""


def settled_by_link(command: Command, link: Link | None) -> Settled | None:
    """What the stored link alone decides; None when there is more to do."""
    if link is None:
        if command.op == "delete" or not command.creates:
            return "skipped", "the record is not linked"
        return None
    if link.paused:
        return "skipped", "the pair does not settle and is paused: see `syncline conflicts list`"
    if command.version < link.source.version:
        return "skipped", "a newer version was applied"
    if link.ended is None:
        return None
    if command.op == "delete":
        return "skipped", f"the pair was {link.ended} before"
    if command.version == link.source.version or not command.creates:
        return "skipped", f"the pair was {link.ended}"
    if link.ended == "unlinked" and link.ended_by != command.source.system:
        return "skipped", "its counterpart was deleted and the pair unlinked"
    return None


def news(command: Command, link: Link) -> Fields:
    """What a linked command would change; what waits for a person's decision is nobody's to change."""
    wanted = changed(command, link.source, link.target)
    return {field: value for field, value in wanted.items() if field not in link.target.review}


def patched(
    command: Command, link: Link | None, present: Present, asked: Sequence[Fields] = (), *, now: datetime
) -> Step:
    """A record that exists: only what differs is sent, and a new link leaves its mark on the record.

    asked: what we may have written without knowing it: of a linked record, by a call whose answer was lost; of one that
    bears our mark without a link, by all that `asked` tells, for it was made just before the writer was killed. What it
    holds of that is our own writing, and nobody's change that a newer value could be in conflict with.
    """
    ours = {
        field: held
        for field, held in present.values.items()
        if any(field in fields and same(fields[field], held) for fields in asked)
    }
    if link:
        agreed = {**dict.fromkeys(link.target.contested, UNKNOWN), **link.target.known, **ours}
    else:
        agreed = ours if bears_mark(command, present) else {}
    wanted = news(command, link) if link else command.fields
    merged = merge(command, wanted, agreed, present, now=now)
    patch = dict(merged.patch)
    if link is None and command.key and not bears_mark(command, present):
        patch[command.key] = command.source.id
    return Step(command, link, present, patch or None, merged.known, merged.clashes)


def deleted(command: Command, link: Link, present: Present | None) -> Step:
    """What somebody typed since both sides last agreed goes with the record, so it is recorded as a conflict."""
    held = present.values if present else {}
    lost = [(field, known) for field, known in link.target.known.items() if not same(held.get(field, known), known)]
    clashes = tuple(Clash(field, known, None, held[field], "incoming") for field, known in lost)
    return Step(command, link, present, clashes=clashes)


def created(command: Command) -> Step:
    """A record that is to be made; what is empty need not be said."""
    filled: Fields = {field: value for field, value in command.fields.items() if value is not None}
    empty: Fields = {field: None for field, value in command.fields.items() if value is None}
    return Step(command, None, None, filled, empty)


def claimable(command: Command, present: Present) -> bool:
    """A record that bears the mark of another source record is that one's."""
    return command.key is None or present.values.get(command.key) is None or bears_mark(command, present)


def concluded(step: Step, saved: Saved | None, *, now: datetime) -> Link:
    """The link as it is after the write, or after finding that there is nothing to write."""
    command, link = step.command, step.link
    if link is None:
        begun = step.revives
        link = Link(
            source=Side(command.source, begun.source.version if begun else "", {}),
            target=Side(Ref(*command.target, _found(step, saved)), "", {}),
            revision=begun.revision if begun else 0,
            id=begun.id if begun else 0,
        )
    # What was captured of the target before we looked, or wrote, tells nothing new of it, and may tell what is old.
    version = max(link.target.version, saved.version if saved else "", step.present.version if step.present else "")
    source = replace(link.source, version=max(link.source.version, command.version))
    if step.ends:
        return replace(
            link,
            source=source,
            target=replace(link.target, version=version),
            ended="deleted" if step.deletes else "unlinked",
            ended_by=command.source.system,
        )
    sent = {field: value for field, value in (step.patch or {}).items() if field != command.key} if saved else {}
    kept = {clash.field for clash in step.clashes if clash.decided != "incoming"}
    asked = [clash.field for clash in step.clashes if clash.decided == "review"]
    theirs = {each for field in asked for each in command.inputs[field]}
    seen: Fields = {**source.known, **command.seen}
    known: Fields = {**link.target.known, **(step.known or {}), **sent}
    link = replace(
        link,
        source=replace(
            source,
            known=seen,
            review=tuple(sorted({*source.review, *theirs})),
            contested=tuple(sorted(set(source.contested) - seen.keys())),
        ),
        target=replace(
            link.target,
            version=version,
            known=known,
            review=tuple(sorted({*link.target.review, *asked})),
            contested=tuple(sorted({*link.target.contested, *kept} - known.keys())),
        ),
    )
    return _bounced(link, now) if saved and not saved.created else link


def _bounced(link: Link, now: datetime) -> Link:
    """Count writes that go back and forth within a short time."""
    to = link.target.ref.system
    quick = link.bounced_at is not None and now - datetime.fromisoformat(link.bounced_at) < BOUNCE_WINDOW
    back = quick and link.bounced_to not in (None, to)
    bounces = link.bounces + 1 if back else link.bounces if quick and link.bounced_to == to else 0
    paused = link.paused or bounces >= BOUNCES
    return replace(link, bounces=bounces, bounced_to=to, bounced_at=now.isoformat(), paused=paused)


def _found(step: Step, saved: Saved | None) -> str:
    found = saved or step.present
    assert found is not None, "a step without a link has read or made its target record"
    return found.id


def result(step: Step, link: Link, saved: Saved | None) -> Result:
    lost = [clash.field for clash in step.clashes if clash.decided != "incoming"]
    outcome: Outcome = "written" if saved else "conflict" if lost else "unchanged"
    reason = f"both sides changed {', '.join(lost)}; the target's values stay" if lost else None
    if step.ends:
        outcome, reason = ("written", "deleted") if step.deletes else ("skipped", "unlinked: the source was deleted")
    return Result(
        pipeline=step.command.pipeline,
        outcome=outcome,
        source=step.command.source,
        target=link.target.ref,
        version=step.command.version,
        reason=reason,
        written=tuple(step.patch or ()) if saved else (),
        created=saved.created if saved else False,
        ended=step.ends,
    )


def settled(command: Command, outcome: Outcome, reason: str | None, target: Ref | None) -> Result:
    """A command that ends without a write."""
    return Result(
        pipeline=command.pipeline,
        outcome=outcome,
        source=command.source,
        target=target,
        version=command.version,
        reason=reason,
    )


def conflicts(step: Step) -> list[Conflict]:
    """The fields that both sides changed, as they are recorded."""
    present = step.present
    if present is None:
        return []
    return [
        _conflict(
            step.command,
            Ref(*step.command.target, present.id),
            clash.field,
            clash.decided,
            agreed=clash.agreed,
            incoming=clash.incoming,
            present=clash.present,
            target_time=present.time,
        )
        for clash in step.clashes
    ]


def unsettled(step: Step, link: Link) -> list[Conflict]:
    """A pair that was paused just now, as a person will find it."""
    if not link.paused or (step.link and step.link.paused):
        return []
    fields = ", ".join(step.patch or ())
    return [_conflict(step.command, link.target.ref, fields, "paused", incoming=link.bounces)]


def _conflict(
    command: Command,
    target: Ref,
    field: str,
    decided: Literal["incoming", "present", "review", "paused"],
    *,
    agreed: str | float | bool | None = None,
    incoming: str | float | bool | None = None,
    present: str | float | bool | None = None,
    target_time: str | None = None,
) -> Conflict:
    return Conflict(
        pipeline=command.pipeline,
        source=command.source,
        target=target,
        field=field,
        agreed=agreed,
        incoming=incoming,
        present=present,
        decided=decided,
        version=command.version,
        source_time=command.time,
        target_time=target_time,
        inputs=tuple(command.inputs.get(field, ())),
    )
