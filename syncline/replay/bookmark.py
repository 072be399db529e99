"""How far a replay has come, kept in its own consumer group, so that it goes on after any end of the process.

With each partition's offset goes what the replay was asked for, and where it ends: whoever goes on needs only its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import TopicPartition

from syncline.contracts.errors import SynclineError
from syncline.contracts.ref import Object, Ref
from syncline.contracts.topics import Names
from syncline.replay.selection import Selection
from syncline.runtime.scan import Span

MOST = 4096
"""Bytes of metadata that a broker takes with an offset (offset.metadata.max.bytes)."""


class Refused(SynclineError):
    """What a person asked for cannot be done; says why, and what can."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """spans: what is still to be read. In `selection`, time and offsets have become those."""

    selection: Selection
    spans: Mapping[TopicPartition, Span]

    def at(self, place: TopicPartition, offset: int) -> dict[TopicPartition, tuple[int, str]]:
        """What to commit once everything before `offset` is sent."""
        return {place: (offset, _metadata(self.selection, self.spans[place].end))}

    @property
    def begun(self) -> dict[TopicPartition, tuple[int, str]]:
        """What to commit before anything is sent. Raises Refused."""
        begun: dict[TopicPartition, tuple[int, str]] = {}
        for place, span in self.spans.items():
            begun |= self.at(place, span.start)
        if any(len(metadata.encode()) > MOST for _, metadata in begun.values()):
            raise Refused("these are more records than can be replayed at once: name fewer, or replay their object")
        return begun


def found(committed: Mapping[TopicPartition, Any], names: Names) -> Bookmark | None:
    """From the group's offsets with their metadata; None when nothing of it is left to do."""
    left, told = {}, dict[str, Any]()
    for place, (offset, metadata) in committed.items():
        document = orjson.loads(metadata) if metadata else {"end": 0}
        if offset < document["end"]:
            left[place] = Span(offset, document["end"])
            told = document
    if not left:
        return None
    prefix = names.changes(Object("", "")).removesuffix(".")
    kinds = {Object(*place.topic.removeprefix(prefix).split(".", 1)) for place in left}
    pipelines, refs = told["pipelines"], told["refs"]
    selection = Selection(
        kinds=tuple(sorted(kinds)),
        pipelines=None if pipelines is None else frozenset(pipelines),
        refs=None if refs is None else frozenset(map(Ref.parse, refs)),
    )
    return Bookmark(selection, left)


def _metadata(selection: Selection, end: int) -> str:
    pipelines, refs = selection.pipelines, selection.refs
    document = {
        "end": end,
        "pipelines": None if pipelines is None else sorted(pipelines),
        "refs": None if refs is None else sorted(map(str, refs)),
    }
    return orjson.dumps(document).decode()
