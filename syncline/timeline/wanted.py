"""Which messages are about a record: where they lie, and a test that is cheap enough for every message of a topic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import orjson

from syncline.contracts.ref import Object, Ref
from syncline.contracts.topics import Names
from syncline.runtime.kafka import partitions_of
from syncline.runtime.scan import Places
from syncline.timeline.fetched import Fetched

Keys = Mapping[str, Collection[bytes]]
"""Topic to the keys that are wanted of it."""

Keep = Callable[[Fetched], bool]


def keys(refs: Collection[Ref], sources: Collection[Object], names: Names) -> Keys:
    """The topics whose messages go by the record's own name."""
    changes: dict[str, set[bytes]] = {}
    for ref in refs:
        if ref.kind in sources:
            changes.setdefault(names.changes(ref.kind), set()).add(ref.id.encode())
            changes.setdefault(names.replay, set()).add(ref.id.encode())
    own = _encoded(refs)
    return {**changes, names.requests: own, names.results: own}


def letter_keys(refs: Iterable[Ref], positions: Iterable[str], names: Names) -> Keys:
    """A dead letter goes by the record, or by the position of its input (`topic/partition/offset`) when that could
    not be read."""
    return {names.dead_letters: _encoded(refs) | {each.encode() for each in positions}}


def places(wanted: Keys, counts: Collection[int]) -> Places:
    """counts: how many partitions the topics have, and had before."""
    return {topic: set().union(*(partitions_of(key, counts) for key in keys)) for topic, keys in wanted.items()}


def by_key(wanted: Keys) -> Keep:
    return lambda record: record.key in wanted[record.topic]


def by_name(refs: Iterable[Ref]) -> Keep:
    """For topics that go by the parent's name: the value holds the record's own."""
    needles = [orjson.dumps(str(ref)) for ref in refs]
    return lambda record: record.value is not None and any(needle in record.value for needle in needles)


def by_slot(refs: Iterable[Ref]) -> Keep:
    """For the changelog of `held`, whose keys name the child and what it waits for."""
    names = _encoded(refs)
    return lambda record: record.key is not None and any(name in record.key for name in names)


def _encoded(refs: Iterable[Ref]) -> frozenset[bytes]:
    return frozenset(str(ref).encode() for ref in refs)
