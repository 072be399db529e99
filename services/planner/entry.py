"""What one command would write, field by field and why; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from services.writer.merge import UNKNOWN, Clash, same
from services.writer.plan import Step
from services.writer.sinks import Saved
from syncline.contracts.link import Link
from syncline.contracts.ref import Ref, Value

Op = Literal["create", "update", "delete", "keep"]
"""`keep` writes nothing: both sides changed the fields, and the target's values stay."""

Why = Literal[
    "new record", "changed", "newly mapped", "linked", "conflict", "static", "derived", "reference", "mark", "deleted"
]
"""`conflict`: both sides changed it. `mark`: the counterpart's id. `derived`: the target's own value, transformed."""


@dataclass(frozen=True, slots=True)
class Field:
    """detail is for people: what lies behind `why`."""

    name: str
    old: Value
    new: Value
    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """target: of a record that is yet to be made, an id that only this plan knows."""

    pipeline: str
    record: Ref
    target: Ref
    op: Op
    fields: tuple[Field, ...]

    @property
    def key(self) -> bytes:
        """Everything that a record does to one kind of target lies together."""
        return f"{self.record}\0{self.target.kind}".encode()

    def encode(self) -> bytes:
        return orjson.dumps(self, default=tuple)

    @classmethod
    def decode(cls, raw: bytes) -> Entry:
        document: dict[str, Any] = orjson.loads(raw)
        fields = tuple(Field(**each) for each in document.pop("fields"))
        record, target = Ref(*document.pop("record")), Ref(*document.pop("target"))
        return cls(record=record, target=target, fields=fields, **document)

    def document(self) -> dict[str, Any]:
        """As a machine reads it."""
        return {
            "record": str(self.record),
            "target": str(self.target),
            "pipeline": self.pipeline,
            "op": self.op,
            "fields": [
                {"field": each.name, "old": each.old, "new": each.new, "why": each.why, "detail": each.detail}
                for each in self.fields
            ],
        }


def entries(step: Step, link: Link, saved: Saved | None) -> Iterator[Entry]:
    """Of a step that was seen through: what was written, and what was kept from being written."""
    command, target = step.command, link.target.ref
    if step.deletes and saved:
        held = step.present.values if step.present else {}
        lost = tuple(Field(name, value, None, "deleted", "its source is deleted") for name, value in held.items())
        yield Entry(command.pipeline, command.source, target, "delete", lost)
        return
    if saved and step.patch is not None:
        op: Op = "create" if saved.created else "update"
        held = step.present.values if step.present else {}
        patch = {**step.patch, **(dict([step.write.key]) if step.write and step.write.key else {})}
        written = tuple(_field(step, name, held.get(name), value) for name, value in patch.items())
        yield Entry(command.pipeline, command.source, target, op, written)
    if kept := tuple(_kept(clash) for clash in step.clashes if clash.decided != "incoming"):
        yield Entry(command.pipeline, command.source, target, "keep", kept)


def _kept(clash: Clash) -> Field:
    who = "a person has to decide" if clash.decided == "review" else "the target's value stays"
    return Field(clash.field, clash.present, clash.incoming, "conflict", f"both sides changed it: {who}")


def _field(step: Step, name: str, old: Value, new: Value) -> Field:
    why, detail = _reason(step, name)
    return Field(name, old, new, why, detail)


def _reason(step: Step, name: str) -> tuple[Why, str]:
    command, link = step.command, step.link
    inputs = command.inputs.get(name, [])
    source = f"from {', '.join(inputs)}" if inputs else ""
    if name == command.key and name not in command.fields:
        return "mark", f"names {command.source}"
    if command.op == "delete":
        return "deleted", "its source is deleted"
    if name not in command.fields or (name in command.derived and not inputs):
        return "derived", "the target's own value, transformed"
    if step.present is None:
        return ("new record", source) if inputs else ("static", "")
    for clash in step.clashes:
        if clash.field == name:
            return "conflict", f"both sides changed it, {command.source.system} wins: {source or 'static'}"
    if not inputs:
        return "static", ""
    if not command.creates:
        return "reference", f"{source}, which is synced"
    if link is None:
        return "linked", f"{source}, to a record that has it empty"
    if name not in {*link.target.known, *link.target.contested}:
        return "newly mapped", source
    was = [
        f"{each} was {_shown(known)}"
        for each in inputs
        if (known := link.source.known.get(each, UNKNOWN)) is not UNKNOWN and not same(known, command.seen.get(each))
    ]
    return "changed", f"at the source: {', '.join(was) or ', '.join(inputs)}"


def _shown(value: Value) -> str:
    return orjson.dumps(value).decode()
