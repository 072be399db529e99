"""A link: one record in each of two systems that are the same thing, and what both are known to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from syncline.contracts.ref import Fields, Ref

Ended = Literal["unlinked", "deleted"]


@dataclass(frozen=True, slots=True)
class Side:
    """known: field to the last value seen or written, in this side's own terms; a field never met is absent.
    version: the newest that was applied from this side or written to it; "" when none is known.
    review: fields that wait for a person's decision and are written by nobody until then.
    contested: fields not known, for they held something of their own when the other side's value came and lost."""

    ref: Ref
    version: str
    known: Fields
    review: tuple[str, ...] = ()
    contested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """Seen from a command: `source` is the side it comes from. id 0 and revision 0 are of a link not stored yet.

    ended: how the pair ended when the record of the system `ended_by` was deleted. The row stays, for its versions keep
    what was deleted from being made again by a late command.
    bounces: how often in a row a write went back where the write before came from, `bounced_at` (RFC 3339) the last
    time; paused: the pair did not settle, nothing is written until a person looks.
    """

    source: Side
    target: Side
    revision: int = 0
    id: int = 0
    ended: Ended | None = None
    ended_by: str | None = None
    bounces: int = 0
    bounced_to: str | None = None
    bounced_at: str | None = None
    paused: bool = False
