"""Whether an assignment can be worked on: each partition with its tables, and each row in its partition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog
from faust.types import TP

from services.mapper.engine.hop import changelog_topic
from services.mapper.engine.settings import EngineSettings
from syncline.contracts.errors import Fatal
from syncline.runtime.placement import Misplaced

log = structlog.get_logger()

Found = Mapping[str, Misplaced]
"""By changelog."""


def strays(assigned: Collection[TP], changelogs: Collection[str]) -> frozenset[TP]:
    """Inputs whose rows are with another member. Faust's assignor puts together what has the same partition count *and*
    the same subscribers, no more: so it is while members read different topics, in the midst of a rollout that adds or
    removes one. They stay unread until the members read the same again."""
    inputs = {tp for tp in assigned if tp.topic not in changelogs}
    found = frozenset(tp for tp in inputs if any(TP(each, tp.partition) not in assigned for each in changelogs))
    if found:
        names = sorted(f"{tp.topic}-{tp.partition}" for tp in found)
        log.warning("not read until all mappers read the same topics", partitions=names)
    return found


def watched(settings: EngineSettings) -> Found:
    """To be told of every row that is restored, by `watch`."""
    return {
        changelog_topic(settings.app_id, table): Misplaced(home, settings.partitions)
        for table, home in settings.homes.items()
    }


def watch(found: Found, changelog: TP, records: Iterable[Any]) -> None:
    if changelog.topic in found:
        found[changelog.topic].add(changelog.partition, records)


def check(assigned: Iterable[TP], found: Found, partitions: int) -> None:
    """Raises Fatal. Whoever adds partitions leaves the rows where they were, and nobody would find them where they
    belong."""
    remedy = "stop all services and run `syncline partitions`"
    places = sorted(assigned)
    if beyond := sorted({tp.topic for tp in places if tp.partition >= partitions}):
        raise Fatal(f"{', '.join(beyond)} got more partitions than the {partitions} of SYNCLINE_PARTITIONS: {remedy}")
    for topic, number in places:
        if topic in found and (rows := found[topic].rows.get(number)):
            raise Fatal(
                f"{len(rows)} rows in partition {number} of {topic} belong into others, if there are {partitions}: "
                f"partitions were added and the rows not moved: {remedy}"
            )
