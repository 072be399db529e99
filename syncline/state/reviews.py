"""A person's decision on a conflict, and how it becomes the next write."""

from __future__ import annotations

from dataclasses import replace

from syncline.contracts.conflict import Conflict
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Value


def resolved(link: Link, conflict: Conflict, winner: str) -> Link:
    """The link (seen from the conflict's source) after the system `winner` was chosen; pure.

    The winner's value is forgotten, so that it counts as changed when the record is read again; the loser's is known,
    so that overwriting it is no conflict any more. A paused pair simply goes on.
    """
    if conflict.decided == "paused":
        return replace(link, paused=False, bounces=0, bounced_to=None, bounced_at=None)
    source = _without(link.source, conflict.inputs)
    target = _without(link.target, (conflict.field,))
    if winner == link.source.ref.system:
        return replace(link, source=_forget(source, conflict.inputs), target=_accept(target, conflict))
    return replace(link, source=source, target=_forget(target, (conflict.field,)))


def _without(side: Side, fields: tuple[str, ...]) -> Side:
    return replace(side, review=tuple(each for each in side.review if each not in fields))


def _forget(side: Side, fields: tuple[str, ...]) -> Side:
    return replace(side, known={name: value for name, value in side.known.items() if name not in fields})


def _accept(side: Side, conflict: Conflict) -> Side:
    """What the target held at the conflict, unless an event has told something newer since."""
    known: Value = side.known.get(conflict.field, conflict.agreed)
    newest = conflict.present if known == conflict.agreed else known
    return replace(side, known={**side.known, conflict.field: newest})
