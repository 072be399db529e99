"""Letting a held record go on without its parent, and asking for its parent again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.command import Command
from syncline.contracts.errors import SynclineError
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.runtime.kafka import Message, publisher
from syncline.runtime.scan import Progress, reader, scan
from syncline.timeline.fetched import where
from syncline.timeline.held import NOBODY, Slot, Step, awaited, content, held_now, steps
from syncline.timeline.read import check, holding, holds_of


class Refused(SynclineError):
    """What a person asked for cannot be done; says why, and what can."""


@dataclass(frozen=True, slots=True)
class Held:
    """A command that waits; affinity: the key that it goes under."""

    step: Step
    command: Command
    affinity: str


async def find(refs: Collection[Ref], settings: Settings, config: Config, *, progress: Progress) -> list[Held]:
    """What these records wait for, and who waits for them, the longest first. Raises Transient, Fatal, Malformed."""
    await check(settings, config)
    async with reader(settings.kafka) as consumer:
        rows = await scan(consumer, holding(settings), holds_of(settings, refs), since=None, progress=progress)
    places = {where(row): row for row in rows}
    waiting = [step for step in held_now(steps(rows)) if step.slot.child in refs or step.slot.on in refs]
    return [Held(step, *content(places[step.where])) for step in waiting]


def released(held: Held, config: Config) -> Command:
    """The command without the parent's id: the record is written now, and its reference when the parent is synced,
    for the hold stays. Raises Refused where the pipeline does not allow it.

    The parent's field counts as never told: the two sides have not agreed on it, and whatever parent somebody gives the
    target meanwhile is a conflict and not overwritten unseen.
    """
    slot, command = held.step.slot, held.command
    pipeline = config.pipelines.get(slot.pipeline)
    if pipeline is None:
        raise Refused(f"there is no pipeline {slot.pipeline} (any more): {slot.child} cannot be released")
    if not command.creates:
        raise Refused(f"{slot.child} is written without {slot.field or 'it'} already: only the reference waits")
    parent = pipeline.parent
    if parent is None or slot.field != parent.field:
        raise Refused(f"{slot.child} waits for {awaited(slot.on, slot.child)} and for no parent: it cannot be released")
    if parent.without == "skip":
        raise Refused(
            f"{slot.pipeline} writes no record without {parent.field} (parent.without: skip): set it to `hold` or "
            f"`write` in pipelines.yaml, or have the parent read again by `syncline held fetch-parent {slot.child}`"
        )
    inputs = {field: names for field, names in command.inputs.items() if field != slot.field}
    used = {name for names in inputs.values() for name in names}
    only = set(command.inputs.get(parent.field, ())) - used
    fields = {field: value for field, value in command.fields.items() if field != slot.field}
    seen = {name: value for name, value in command.seen.items() if name not in only}
    return structs.replace(command, fields=fields, inputs=inputs, seen=seen)


async def release(
    shown: Sequence[tuple[Held, Command]],
    refs: Collection[Ref],
    settings: Settings,
    config: Config,
    *,
    progress: Progress,
) -> int:
    """Sends the commands, as they were shown, of those that are still held as they were; returns how many. What
    changed meanwhile is another decision. Raises Transient, Fatal."""
    versions = {each.step.slot: each.step.version for each in await find(refs, settings, config, progress=progress)}
    still = [(each, command) for each, command in shown if versions.get(each.step.slot) == each.step.version]
    async with publisher(settings.kafka, "syncline-held") as publishing:
        await publishing.publish(
            Message(settings.names.commands(command.target.system), each.affinity.encode(), command.encode())
            for each, command in still
        )
    return len(still)


def parents(slots: Iterable[Slot], config: Config) -> tuple[list[Ref], list[str]]:
    """The records that are waited for and can be read, and why the others cannot, each once."""
    readable: dict[Ref, None] = {}
    refused: dict[str, None] = {}
    for slot in slots:
        if slot.on.id == NOBODY:
            refused[f"{slot.child} names no {slot.on.kind}: give it one in {slot.child.system}, or release it"] = None
        elif slot.on.kind not in config.sources:
            refused[f"no pipeline reads {slot.on.kind}: {slot.on} cannot be fetched"] = None
        else:
            readable[slot.on] = None
    return list(readable), list(refused)


async def fetch(refs: Sequence[Ref], settings: Settings) -> None:
    """Asks the poller to read these records again. Raises Transient."""
    requests = [Request(ref=ref, reason="a person asks, for records that wait for it") for ref in refs]
    async with publisher(settings.kafka, "syncline-held") as publishing:
        await publishing.publish(
            Message(settings.names.requests, str(each.ref).encode(), each.encode()) for each in requests
        )
