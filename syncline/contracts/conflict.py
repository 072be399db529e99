"""A conflict: a field that both sides changed since they last agreed, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.contracts.ref import Ref, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """incoming is the source's mapped value, present the target's; decided: `incoming`, `present` or `review`.
    version is the source's; with pipeline, source, field and both values it names the conflict, so that a repeat is
    none. The times are those of the records, inputs the source fields behind the field."""

    pipeline: str
    source: Ref
    target: Ref
    field: str
    agreed: Value
    incoming: Value
    present: Value
    decided: str
    version: str
    source_time: str | None = None
    target_time: str | None = None
    inputs: tuple[str, ...] = ()
