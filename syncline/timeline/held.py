"""Who waits for whom, from the changelog of the mapper's table `held`.

The shape is the mapper's own (services/mapper/mapped.py makes the key, services/mapper/join.py the row). Key:
`<record waited for>><target object>` NUL `<waiting record>` NUL `<pipeline>` NUL `<target field>`, where records are
`system/object/id` and the field is empty when the command only waits. A row has three lines of JSON:
`{"at": ms, "version": ...}`, `at` being when the command came; what the hop knows of the command, its `affinity`
among that; the command. A key that ends after the first NUL says only that the record was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from syncline.contracts import codec
from syncline.contracts.command import Command
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Ref
from syncline.timeline.entry import Entry, duration, facts
from syncline.timeline.fetched import Fetched, moment, where

NOBODY = "-"
"""The id in the place of a parent that the child does not name, held by the policy `without: hold`."""

SHOWN = 10
"""So many of the records that wait for one are named; the rest is counted."""


class Slot(NamedTuple):
    """`child` waits for `on`, whose id at the target then goes into `field`; None when it only waits."""

    on: Ref
    child: Ref
    pipeline: str
    field: str | None

    @classmethod
    def parse(cls, key: bytes | None) -> Slot | None:
        """None for the row that says only that `on` was asked for. Raises Malformed."""
        first, *rest = (key or b"").decode(errors="replace").split("\0")
        if rest == [""]:
            return None
        if len(rest) != 3:
            raise Malformed(f"a key of four parts is expected, not {key!r}")
        child, pipeline, field = rest
        return cls(Ref.parse(first.rpartition(">")[0]), Ref.parse(child), pipeline, field or None)


def awaited(on: Ref, child: Ref) -> str:
    """What `child` waits for, in words."""
    if on.id == NOBODY:
        return f"a {on.kind} that it does not name"
    return "its own counterpart" if on == child else str(on)


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of a slot. version None: it is held no longer. since: when it was first held without a break, as far
    as the changelog still tells; None when that row was compacted away."""

    slot: Slot
    at: datetime
    since: datetime | None
    version: str | None
    where: str


def steps(rows: Iterable[Fetched]) -> Iterator[Step]:
    """The changelog's rows, each partition's in order. What a restarted mapper wrote again is left out.

    Raises Malformed naming the row.
    """
    last: dict[Slot, Step] = {}
    for row in rows:
        try:
            step = _step(row, last)
        except Malformed as error:
            raise Malformed(f"{where(row)} is no row of the table `held`: {error}") from error
        if step is None or _repeated(step, last.get(step.slot)):
            continue
        last[step.slot] = step
        yield step


def _step(row: Fetched, last: dict[Slot, Step]) -> Step | None:
    slot = Slot.parse(row.key)
    if slot is None:
        return None
    before = last.get(slot)
    since = before.since if before and before.version is not None else None
    if row.value is None:
        return Step(slot, moment(row.timestamp), since, None, where(row))
    document = codec.decode(row.value.partition(b"\n")[0])
    at = moment(codec.take(document, "at", int))
    return Step(slot, at, since or at, codec.take(document, "version", str), where(row))


def content(row: Fetched) -> tuple[Command, str]:
    """The command that is held in a row, and the key that it will go under. Raises Malformed."""
    _, mapped, command = [*(row.value or b"").split(b"\n"), b"", b""][:3]
    return Command.decode(command), codec.take(codec.decode(mapped), "affinity", str)


def _repeated(step: Step, before: Step | None) -> bool:
    if before is None or step.version != before.version:
        return False
    return step.version is None or step.at == before.at


def held_now(turns: Iterable[Step]) -> list[Step]:
    """The slots that are still held, the longest first."""
    last = {step.slot: step for step in turns}
    held = [step for step in last.values() if step.version is not None]
    return sorted(held, key=lambda step: (step.since or step.at, step.slot))


def holds(rows: Iterable[Fetched], refs: Collection[Ref], now: datetime) -> Iterator[Entry]:
    """From the changelog: what the record waited for, who waited for it, and both as they are now.

    Those who wait for it are told together, however many they are. Raises Malformed.
    """
    turns = list(steps(rows))
    own = [step for step in turns if step.slot.child in refs]
    for step in own:
        what = awaited(step.slot.on, step.slot.child)
        if step.version is None:
            after = duration(step.at - step.since) if step.since else None
            yield _hold(step, step.at, f"no longer held for {what}", after=after)
        else:
            again = "" if step.since == step.at else "still "
            yield _hold(step, step.at, f"{again}held: waits for {what}", version=step.version)
    for step in held_now(own):
        what = awaited(step.slot.on, step.slot.child)
        yield _hold(step, now, f"held now: waiting for {what}, {age(step, now)}")
    for ref in refs:
        yield from _waited_for(ref, [each for each in turns if each.slot.on == ref != each.slot.child], now)


def _hold(step: Step, at: datetime, what: str, **detail: str | None) -> Entry:
    told = facts({"pipeline": step.slot.pipeline, "field": step.slot.field, **detail})
    return Entry(at, "held", what, told, step.slot.child, step.where)


def _waited_for(ref: Ref, turns: Sequence[Step], now: datetime) -> Iterator[Entry]:
    came = [step for step in turns if step.version is not None]
    went = [step for step in turns if step.version is None]
    if came:
        first = min(came, key=lambda step: step.at)
        yield _together(ref, came, first.at, "{} held for it, from here on", first.where)
    if went:
        last = max(went, key=lambda step: step.at)
        yield _together(ref, went, last.at, "{} no longer held for it", last.where)
    if waiting := held_now(turns):
        yield _together(ref, waiting, now, f"held now: {{}} waiting for it, {age(waiting[0], now)}", waiting[0].where)


def _together(ref: Ref, turns: Iterable[Step], at: datetime, what: str, place: str) -> Entry:
    children = list(dict.fromkeys(str(step.slot.child) for step in turns))
    count = f"{len(children):,} record{'' if len(children) == 1 else 's'}"
    told = facts({"records": children[:SHOWN], "more": max(0, len(children) - SHOWN) or None})
    return Entry(at, "held", what.format(count), told, ref, place)


def age(step: Step, now: datetime) -> str:
    return duration(now - (step.since or step.at))
