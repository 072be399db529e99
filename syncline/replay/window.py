"""Staying behind live traffic: what is driven through again waits while much is under way already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.runtime.lag import Group, Watch, watching
from syncline.runtime.waiting import pause

WINDOW = 50_000
"""Messages that may be under way between the sources and the targets: so many a live change finds before it, a few
seconds' worth. Fewer would keep the mapper waiting: what it has done shows with its next commit, a second later."""
LOOK = 0.1
"""Seconds between two looks while there is no room."""


class Window:
    """Counts what is sent, and looks anew when there is no room by its own count."""

    def __init__(self, look: Callable[[], Awaitable[int]], size: int, *, every: float = LOOK) -> None:
        """every: seconds between two looks while there is no room."""
        self._look = look
        self._size = size
        self._every = every
        self.under_way = size
        """As of the last look, and what was sent since."""

    @property
    def share(self) -> int:
        """So many at a time find room soon, though others send too."""
        return max(1, self._size // 4)

    async def room(self, count: int, stop: asyncio.Event) -> bool:
        """Returns once `count` messages more fit; at once, and False, when `stop` is set. More than fit at all go when
        nothing is under way. Raises Transient."""
        while self.under_way + count > self._size and self.under_way:
            if stop.is_set():
                return False
            self.under_way = await self._look()
            if self.under_way + count > self._size and self.under_way:
                await pause(self._every, stop)
        self.under_way += count
        return not stop.is_set()


class Stages:
    """The mapper and the writer, seen from outside by what their groups have committed."""

    def __init__(self, watch: Watch, settings: Settings, config: Config) -> None:
        self._watch = watch
        self._names = settings.names
        self._commands = [*map(self._names.commands, config.targets)]
        self.groups: list[Group] = []
        """As of the last look."""

    async def lag(self) -> int:
        """Raises Transient."""
        self.groups = await self._watch.groups()
        return sum(group.total for group in self.groups)

    @property
    def absent(self) -> list[str]:
        """The groups in which nobody was at the last look: whoever waits for them waits long."""
        return [group.name for group in self.groups if not group.members]

    async def through(self, stop: asyncio.Event, tell: Callable[[int], None]) -> bool:
        """Returns once everything that is on `replay` now has been written; False when `stop` is set before. `tell` is
        told how many messages are under way. A deferred reference goes through `mapped` twice. Raises Transient."""
        names = self._names
        turns = [
            (names.mapper, [names.replay]),
            (names.mapper, [names.mapped]),
            (names.mapper, [names.mapped]),
            (names.writer, self._commands),
        ]
        for group, topics in turns:
            ends = await self._watch.ends(topics)
            while not await self._watch.reached(group, ends):
                if stop.is_set():
                    return False
                tell(await self.lag())
                await pause(LOOK, stop)
        return True


@asynccontextmanager
async def stages(settings: Settings, config: Config) -> AsyncIterator[Stages]:
    """Raises Transient, also inside."""
    names = settings.names
    wanted = {
        names.mapper: [*map(names.changes, config.sources), names.replay, names.mapped],
        names.writer: [*map(names.commands, config.targets)],
    }
    async with watching(settings.kafka, wanted, partitions=settings.partitions) as watch:
        yield Stages(watch, settings, config)


async def lag(settings: Settings, config: Config) -> int:
    """How many messages are under way, for who looks seldom. Raises Transient."""
    async with stages(settings, config) as under_way:
        return await under_way.lag()
