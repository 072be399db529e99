"""The timeline of one record, chosen among those that what was typed may mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.contracts.ref import Ref
from syncline.timeline.asked import Unknown
from syncline.timeline.entry import Entry, in_order


@dataclass(frozen=True, slots=True)
class Story:
    """refs: the record's names, one for each side that it is known on."""

    refs: tuple[Ref, ...]
    entries: list[Entry]

    def document(self) -> dict[str, Any]:
        return {"records": [str(ref) for ref in self.refs], "entries": [entry.document() for entry in self.entries]}


def choose(asked: str, groups: Sequence[frozenset[Ref]], entries: Iterable[Entry]) -> Story:
    """The one group of names that anything was found about. Raises Unknown when there is none, or more than one."""
    found: dict[frozenset[Ref], list[Entry]] = {}
    for entry in entries:
        group = next(group for group in groups if entry.ref in group)
        found.setdefault(group, []).append(entry)
    if not found:
        kinds = ", ".join(sorted({str(ref.kind) for group in groups for ref in group}))
        raise Unknown(
            f"nothing is known of {asked}: no event, command, result, hold or dead letter that is still kept, and no "
            f"link, as a record of {kinds}. Check the id (capitals count); leave out --since; look at the record's "
            "last change in its system: was it before the first look-back (poll_days)?"
        )
    if len(found) > 1:
        named = sorted(str(min(group)) for group in found)
        raise Unknown(f"{asked} may be any of {', '.join(named)}: say which, as system/object/id")
    [(group, told)] = found.items()
    return Story(tuple(sorted(group)), in_order(told))
