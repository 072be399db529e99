"""One record, one write a call: neither system takes two."""

from __future__ import annotations

from collections.abc import Sequence

from services.writer.sinks import Write
from syncline.contracts.errors import Transient


def repeats(writes: Sequence[Write]) -> dict[int, Transient]:
    """The writes whose record an earlier one writes too: they are planned again, on what the earlier one leaves."""
    seen: set[str | tuple[str, str]] = set()
    found = {}
    for place, write in enumerate(writes):
        record = write.id if write.id is not None else write.key
        if record in seen:
            found[place] = Transient(f"another write of the same batch to {record} comes first")
        elif record is not None:
            seen.add(record)
    return found
