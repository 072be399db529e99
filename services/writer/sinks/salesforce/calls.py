"""How writes go into calls, pure: what is sent, and what it will cost, are the same sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from services.writer.sinks import Write
from syncline.salesforce.collections import WRITE_ROWS


def calls(writes: Sequence[Write], without: Collection[int] = ()) -> Iterator[tuple[str, str, list[int]]]:
    """Kind, key field of an upsert, and places of at most 200 writes. Their fields may differ: JSON tells absent from
    null."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, write in enumerate(writes):
        if place not in without:
            group = (
                ("update", "") if write.id is not None else ("upsert", write.key[0]) if write.key else ("create", "")
            )
            groups[group].append(place)
    for (kind, key), places in groups.items():
        for start in range(0, len(places), WRITE_ROWS):
            yield kind, key, places[start : start + WRITE_ROWS]
