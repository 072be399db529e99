"""`syncline rebuild`: after Kafka was lost, from what PostgreSQL and the sources still know.

What the mapper knew of pairs comes back from the links, as results that it takes for any others; what it knew of
records comes from their sources. What was on its way to be written is read again with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.link import Link
from syncline.contracts.ref import Object
from syncline.contracts.result import Result
from syncline.replay.resync import ask, wanted
from syncline.runtime.kafka import Message, publisher
from syncline.state.database import check_migrated, connect
from syncline.state.links import Links
from syncline.timeline.read import check

AT_ONCE = 5_000
REASON = "rebuild: the pair is linked"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """links: told to the mapper. others: of no pipeline, or ended. resyncs: their numbers. streams: objects that send
    their changes by themselves: what was on its way of these is lost with Kafka, unless they send it again."""

    links: int
    others: int
    resyncs: list[int]
    streams: list[Object]


Directions = Mapping[tuple[Object, Object], str]
"""Source and target to the pipeline."""


def results(links: list[Link], directions: Directions) -> Iterator[Result]:
    """One for each pair that is one, in the direction of a pipeline; pure."""
    for link in links:
        for one, other in ((link.source, link.target), (link.target, link.source)):
            pipeline = directions.get((one.ref.kind, other.ref.kind))
            if pipeline and not link.ended:
                version = one.version or other.version or "0"
                yield Result(
                    pipeline=pipeline,
                    outcome="unchanged",
                    source=one.ref,
                    target=other.ref,
                    version=version,
                    reason=REASON,
                )
                break


async def rebuild(
    settings: Settings, config: Config, *, since: datetime | None, tell: Callable[[int], None]
) -> Rebuilt:
    """Results first, so that children that are read again find their parents synced. May be repeated, should it be cut
    off. `tell` is told how many links are done. Raises Transient, Fatal."""
    await check(settings, config)
    directions = {(pipeline.from_, pipeline.to): name for name, pipeline in config.pipelines.items()}
    told = others = at = 0
    async with (
        connect(settings.database_url, application="syncline-rebuild", size=1) as pool,
        publisher(settings.kafka, "syncline-rebuild") as publishing,
    ):
        await check_migrated(pool)
        while links := await Links(pool).after(at, AT_ONCE):
            made = list(results(links, directions))
            await publishing.publish(
                Message(settings.names.results, key, encoded)
                for each in made
                for encoded in (each.encode(),)
                for key in each.message_keys()
            )
            told, others, at = told + len(made), others + len(links) - len(made), links[-1].id
            tell(told)
    streams = [kind for kind in config.sources if kind not in config.polled]
    return Rebuilt(told, others, await ask(wanted(config, since=since), settings) if config.polled else [], streams)
