"""What to do about a batch of commands, pure: which are news, what to send, and what is known after it.

The shell (`loop`) loads links and present values between these steps and sends what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.writer.merge import Clash, bears_mark, changed, merge, same
from services.writer.sinks import Present, Saved, Write
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Ref
from syncline.contracts.result import Outcome, Result


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
        else:
            base = replace(
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

    link: the stored one. present: the target record now, None when it is to be created. patch None: nothing to send.
    """

    command: Command
    link: Link | None
    present: Present | None = None
    patch: Fields | None = None
    known: Fields | None = None
    clashes: tuple[Clash, ...] = ()

    @property
    def write(self) -> Write | None:
        if self.patch is None:
            return None
        if self.present is None:
            key = (self.command.key, self.command.source.id) if self.command.key else None
            return Write(None, self.patch, key)
        return Write(self.present.id, self.patch, None, {field: self.present.values.get(field) for field in self.patch})


def news(command: Command, link: Link) -> Fields | str:
    """What a linked command would change, or the reason why it is settled without looking at the target."""
    if command.version < link.source.version:
        return "a newer version was applied"
    return changed(command, link.source.known, link.target.known)


def patched(command: Command, link: Link | None, present: Present, asked: Sequence[Fields] = ()) -> Step:
    """A record that exists: only what differs is sent, and a new link leaves its mark on the record.

    asked: see `asked`. A record that bears our mark without a link was made just before the writer was killed; what it
    holds of that is our own writing, and nobody's change that a newer value could be in conflict with.
    """
    if link:
        agreed = link.target.known
    elif bears_mark(command, present):
        agreed = {
            field: now
            for field, now in present.values.items()
            if any(field in fields and same(fields[field], now) for fields in asked)
        }
    else:
        agreed = {}
    wanted = changed(command, link.source.known, agreed) if link else command.fields
    merged = merge(command, wanted, agreed, present)
    patch = dict(merged.patch)
    if link is None and command.key and not bears_mark(command, present):
        patch[command.key] = command.source.id
    return Step(command, link, present, patch or None, merged.known, merged.clashes)


def created(command: Command) -> Step:
    """A record that is to be made; what is empty need not be said."""
    filled: Fields = {field: value for field, value in command.fields.items() if value is not None}
    empty: Fields = {field: None for field, value in command.fields.items() if value is None}
    return Step(command, None, None, filled, empty)


def claimable(command: Command, present: Present) -> bool:
    """A record that bears the mark of another source record is that one's."""
    return command.key is None or present.values.get(command.key) is None or bears_mark(command, present)


def concluded(step: Step, saved: Saved | None) -> Link:
    """The link as it is after the write, or after finding that there is nothing to write."""
    command, link = step.command, step.link
    source = link.source if link else Side(command.source, "", {})
    target = link.target if link else Side(Ref(*command.target, _found(step, saved)), "", {})
    sent = {field: value for field, value in (step.patch or {}).items() if field in command.fields} if saved else {}
    return Link(
        source=Side(source.ref, max(source.version, command.version), {**source.known, **command.seen}),
        target=Side(
            target.ref,
            max(target.version, saved.version if saved else ""),
            {**target.known, **(step.known or {}), **sent},
        ),
        revision=link.revision if link else 0,
    )


def _found(step: Step, saved: Saved | None) -> str:
    found = saved or step.present
    assert found is not None, "a step without a link has read or made its target record"
    return found.id


def result(step: Step, link: Link, saved: Saved | None) -> Result:
    lost = [clash.field for clash in step.clashes if clash.decided != "incoming"]
    outcome: Outcome = "written" if saved else "conflict" if lost else "unchanged"
    return Result(
        pipeline=step.command.pipeline,
        outcome=outcome,
        source=step.command.source,
        target=link.target.ref,
        version=step.command.version,
        reason=f"both sides changed {', '.join(lost)}; the target's values stay" if lost else None,
        written=tuple(step.patch or ()) if saved else (),
        created=saved.created if saved else False,
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
    if step.present is None:
        return []
    return [
        Conflict(
            pipeline=step.command.pipeline,
            source=step.command.source,
            target=Ref(*step.command.target, step.present.id),
            field=clash.field,
            agreed=clash.agreed,
            incoming=clash.incoming,
            present=clash.present,
            decided=clash.decided,
            version=step.command.version,
        )
        for clash in step.clashes
    ]
