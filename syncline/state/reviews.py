"""A person's decision on a conflict, and how it becomes the next write."""

from __future__ import annotations

from dataclasses import replace

from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Value


def resolved(link: Link, conflict: Conflict, winner: str) -> Link:
    """The link (seen from the conflict's source) after the system `winner` was chosen; pure.

    It is as though the loser's value had been written to the winner's side, and the winner had then typed over it: when
    the winner's record is read again it counts as changed, and the loser's, should it come first, does not. A paused
    pair simply goes on.
    """
    if conflict.decided == "paused":
        return replace(link, paused=False, bounces=0, bounced_to=None, bounced_at=None)
    source = _without(link.source, conflict.inputs)
    target = _without(link.target, (conflict.field,))
    if winner == link.source.ref.system:
        typed_over = _typed_over(source, conflict.inputs, conflict.present)
        return replace(link, source=typed_over, target=_accept(target, conflict))
    return replace(link, source=source, target=_typed_over(target, (conflict.field,), conflict.incoming))


def _without(side: Side, fields: tuple[str, ...]) -> Side:
    return replace(side, review=tuple(each for each in side.review if each not in fields))


def _typed_over(side: Side, fields: tuple[str, ...], value: Value) -> Side:
    """Known to have held `value`; not known at all where it holds just that, which would count as no change."""
    known = {name: held for name, held in side.known.items() if name not in fields}
    return replace(side, known=known | {name: value for name in fields if side.known.get(name) != value})


def _accept(side: Side, conflict: Conflict) -> Side:
    """What the target held at the conflict, unless an event has told something newer since."""
    known: Value = side.known.get(conflict.field, conflict.agreed)
    newest = conflict.present if known == conflict.agreed else known
    return replace(side, known={**side.known, conflict.field: newest})
