"""What is asked for so that drift goes away, pure. Nothing is written here: what is read again takes the ordinary way,
with its merge, policies and conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.verify.compare import Mismatch, Pair
from syncline.verify.pairing import Pairing


@dataclass
class Wanted:
    """asked: records to be read again, each with the version that it is known by. forgotten: links to save before."""

    asked: dict[Ref, str | None] = field(default_factory=dict)
    forgotten: dict[int, Link] = field(default_factory=dict)

    def add(self, other: Wanted) -> None:
        self.asked |= other.asked
        self.forgotten |= other.forgotten


def of_pair(pairing: Pairing, pair: Pair, mismatches: Iterable[Mismatch]) -> Wanted:
    """The records that drifted are read again. What drifted at a target that nobody reads is offered the source's value
    again."""
    wanted, link = Wanted(), pair.link
    for mismatch in mismatches:
        source = pair.side(mismatch.source.kind)
        if mismatch.source in mismatch.drifted:
            wanted.asked[mismatch.source] = source.version
        if mismatch.target in mismatch.drifted and _is_read(pairing, mismatch.target.kind, mismatch.field, pair):
            wanted.asked[mismatch.target] = pair.side(mismatch.target.kind).version
        elif mismatch.source not in mismatch.drifted:
            wanted.asked[mismatch.source] = source.version
            link = _forgetting(link, mismatch)
    if link != pair.link:
        wanted.forgotten[link.id] = link
    return wanted


def of_gone(link: Link, gone: Object) -> Wanted:
    lost = link.source if link.source.ref.kind == gone else link.target
    return Wanted({lost.ref: lost.version})


def of_missing(ref: Ref) -> Wanted:
    return Wanted({ref: None})


def _is_read(pairing: Pairing, kind: Object, name: str, pair: Pair) -> bool:
    record = pair.rows[kind].fields
    return any(name in route.reads and route.left_out(record) is None for route in pairing.from_(kind))


def _forgetting(link: Link, mismatch: Mismatch) -> Link:
    """The target's field counts as never agreed on, so that the source's value is offered again, and what the target
    holds is a conflict for the policy to decide."""

    def without(side: Side) -> Side:
        if side.ref != mismatch.target:
            return side
        return replace(side, known={name: value for name, value in side.known.items() if name != mismatch.field})

    return replace(link, source=without(link.source), target=without(link.target))
