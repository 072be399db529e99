"""A link: one record in each of two systems that are the same thing, and what both are known to hold."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.contracts.ref import Fields, Ref


@dataclass(frozen=True, slots=True)
class Side:
    """known: field to the last value seen or written, in this side's own terms; a field never met is absent.
    version: the newest that was applied from this side or written to it; "" when none is known."""

    ref: Ref
    version: str
    known: Fields


@dataclass(frozen=True, slots=True)
class Link:
    """Seen from a command: `source` is the side it comes from. revision 0 is a link that is not stored yet."""

    source: Side
    target: Side
    revision: int = 0
