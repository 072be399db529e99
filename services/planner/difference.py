"""What a new mapping would write that the present one would not, and the other way round; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

from services.planner.entry import Entry, Op
from syncline.contracts.ref import Value

Kind = Literal["added", "dropped", "changed"]
Group = tuple[bytes, list[Entry]]
"""What one record does to one kind of target, under a key that sorts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """new, present: what either mapping would write for a record; one of the two may be empty."""

    new: Sequence[Entry]
    present: Sequence[Entry]

    @property
    def kind(self) -> Kind:
        return "changed" if self.new and self.present else "added" if self.new else "dropped"

    def document(self) -> dict[str, Any]:
        """As a machine reads it."""
        return {
            "difference": self.kind,
            "record": str((self.new or self.present)[0].record),
            "new": [each.document() for each in self.new],
            "present": [each.document() for each in self.present],
        }


def differences(new: Iterable[Group], present: Iterable[Group]) -> Iterator[Difference]:
    """Both in the order of their keys; what is the same in both is left out."""
    both = merge(((key, 0, group) for key, group in new), ((key, 1, group) for key, group in present), key=_place)
    for _, sides_of_one in groupby(both, key=itemgetter(0)):
        found: list[list[Entry]] = [[], []]
        for _, side, group in sides_of_one:
            found[side] = group
        if _effect(found[0]) != _effect(found[1]):
            yield Difference(*found)


def _place(side: tuple[bytes, int, list[Entry]]) -> tuple[bytes, int]:
    return side[:2]


def _effect(entries: Sequence[Entry]) -> dict[tuple[Op, str, str], Value]:
    """The pipeline's name and the reason make no difference to the target."""
    return {(entry.op, entry.target.id, each.name): each.new for entry in entries for each in entry.fields}
