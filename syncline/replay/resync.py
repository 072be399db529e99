"""`syncline resync`: objects are read again from their source. The pollers have the readers, so they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.ref import Object
from syncline.replay.bookmark import Refused
from syncline.replay.selection import kinds_of, refs_of
from syncline.replay.window import stages
from syncline.runtime.waiting import pause
from syncline.state.cursors import Cursors
from syncline.state.database import check_migrated, connect
from syncline.state.resyncs import Resync, Resyncs, Wanted

LOOK = 0.5
"""Seconds between two looks at how far it has come."""


@dataclass(frozen=True, slots=True)
class Followed:
    """unread: the objects that no poller holds: nothing happens to them until one does. finished: everything is read,
    and written as far as it could be."""

    resyncs: Sequence[Resync]
    unread: Sequence[Object] = ()
    finished: bool = False

    @property
    def read(self) -> bool:
        return all(each.done_at for each in self.resyncs)


Tell = Callable[[Followed], None]


def wanted(
    config: Config,
    *,
    pipelines: Collection[str] = (),
    objects: Collection[str] = (),
    records: Collection[str] = (),
    since: datetime | None = None,
) -> list[Wanted]:
    """One for each object; nothing named is every object that is polled. Raises Refused, Unknown."""
    kinds = kinds_of(config, pipelines=pipelines, objects=objects)
    polled = [kind for kind in kinds if kind in config.polled]
    named = bool(pipelines or objects)
    if sending := [kind for kind in kinds if kind not in polled] if named or not polled else []:
        raise Refused(_sends(sending))
    made = [Wanted(kind, since=since, pipelines=frozenset(pipelines) or None) for kind in polled]
    if not records:
        return made
    refs = refs_of(config, polled, records)
    named_of = {each.kind: tuple(sorted(ref.id for ref in refs if ref.kind == each.kind)) for each in made}
    return [replace(each, ids=named_of[each.kind], since=None) for each in made if named_of[each.kind]]


def _sends(kinds: Collection[Object]) -> str:
    names = ", ".join(f"{kind.system}.{kind.name}" for kind in kinds)
    return (
        f"{names} sends its changes by itself and cannot be read again: have it send them again (Debezium: an "
        "incremental snapshot), or take those that are kept: `syncline replay --object ...`"
    )


@asynccontextmanager
async def asked_of(settings: Settings) -> AsyncIterator[tuple[Resyncs, Cursors]]:
    """Raises Transient, Fatal."""
    async with connect(settings.database_url, application="syncline-resync", size=1) as pool:
        await check_migrated(pool)
        yield Resyncs(pool), Cursors(pool)


async def ask(wanted: Sequence[Wanted], settings: Settings) -> list[int]:
    """Their numbers; one that is asked for again before it was begun keeps its own. Raises Transient, Fatal."""
    async with asked_of(settings) as (resyncs, _):
        return [await resyncs.ask(each) for each in wanted]


async def follow(
    ids: Collection[int], settings: Settings, config: Config, *, stop: asyncio.Event, tell: Tell
) -> Followed:
    """Returns once they are done and what they read is written, or soon after `stop` is set; the pollers go on then.
    Raises Transient, Fatal."""
    async with asked_of(settings) as (resyncs, cursors):
        while True:
            readers = {each.kind: each.reader for each in await cursors.all()}
            found = await resyncs.get(ids)
            unread = [each.wanted.kind for each in found if not each.done_at and not readers.get(each.wanted.kind)]
            followed = Followed(found, unread)
            tell(followed)
            if followed.read:
                break
            if stop.is_set():
                return followed
            await pause(LOOK, stop)
    async with stages(settings, config) as under_way:
        return replace(followed, finished=await under_way.through(stop, lambda _: tell(followed)))
