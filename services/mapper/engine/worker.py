"""Runs hops on Kafka until it is told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from services.mapper.engine.batch import Batch, Processor
from services.mapper.engine.faust_seam import Finish, Owned, new_app
from services.mapper.engine.faust_tables import Records
from services.mapper.engine.hop import Hop, changelog_topic
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.versions import check_versions
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.topics import Topic
from syncline.runtime.admin import check_topics

log = structlog.get_logger()

STOP_TIMEOUT = 10.0
"""Seconds for Faust to leave the group and end its thread, once nothing is left to lose."""


class Engine:
    """One process's share of the work. `progress` may be read at any time."""

    def __init__(self, settings: EngineSettings, hops: Sequence[Hop]) -> None:
        """`hops` in the order in which records go through them.

        Raises Fatal when two hops read the same topic, which only one of them could acknowledge, or share a table.
        """
        self.progress = Progress()
        self._settings = settings
        self._declared = hops
        self._hops: dict[str, Hop] = {}
        tables: dict[str, Hop] = {}
        for hop in hops:
            for table in hop.tables:
                if table in tables:
                    raise Fatal(f"table {table} is changed by hop {tables[table].name} and by hop {hop.name}")
                tables[table] = hop
            for topic in hop.topics:
                if topic in self._hops:
                    raise Fatal(f"topic {topic} is read by hop {self._hops[topic].name} and by hop {hop.name}")
                self._hops[topic] = hop
        self._changelogs = {table: changelog_topic(settings.app_id, table) for table in sorted(tables)}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish the batch in flight, commit and leave the group.

        Raises Fatal for a wrong installation (versions, topics) and for a hop that failed, Transient when the broker
        failed us; either way nothing is acknowledged whose effects are not safe.
        """
        check_versions()
        topics = [Topic(name) for name in (*self._hops, *self._changelogs.values())]
        await check_topics(self._settings.kafka, topics, partitions=self._settings.partitions)
        with _own(self._settings.state_dir):
            order = {topic: number for number, hop in enumerate(self._declared) for topic in hop.topics}
            app = new_app(self._settings, order, self._changelogs, self.progress, self._handle)
            self._processor = Processor(
                lambda: app.producer._producer,
                app.tables.databases,
                self._changelogs,
                self.progress,
                self._declared,
                record_limit=self._settings.max_request_size - 1024,
            )
            try:
                await self._serve(app, stop)
            finally:
                # Whatever became of the rest: RocksDB's threads must not outlive the interpreter.
                app.tables.databases.close()

    async def _serve(self, app: Any, stop: asyncio.Event) -> None:
        starting = asyncio.create_task(app.start())
        stopping = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(app.wait_until_stopped())
        try:
            await asyncio.wait({starting, stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if app.crashed:
                raise app.crash_reason
            await app.consumer.wait_empty()
        except KafkaError as error:
            raise Transient(f"Kafka failed: {error!r}") from error
        finally:
            starting.cancel()
            stopping.cancel()
            await _end(app, starting, stopping, ended)

    async def _handle(self, records: Records, owned: Owned) -> Finish | None:
        batches = [Batch(self._hops[tp.topic], tp.partition, inputs) for tp, inputs in records.items()]
        begun = await self._processor.begin(batches, owned)
        return partial(self._processor.finish, begun, owned) if begun else None


async def _end(app: Any, *tasks: asyncio.Task[Any]) -> None:
    ending = asyncio.gather(app.stop(), *tasks, return_exceptions=True)
    await asyncio.wait({ending}, timeout=STOP_TIMEOUT)  # not by cancelling: Faust swallows that
    if not ending.done():
        log.error("Faust did not stop in time", seconds=STOP_TIMEOUT, left=sorted(_left(app)))
    elif isinstance(failed := ending.result()[0], BaseException):
        raise failed


def _left(app: Any) -> Iterator[str]:
    """Where what still runs in Faust's two loops waits."""
    for loop in {asyncio.get_running_loop(), app.consumer._thread.thread_loop}:
        for task in asyncio.all_tasks(loop):
            waits: Any = task.get_coro()
            while hasattr(inner := getattr(waits, "cr_await", None), "cr_frame"):
                waits = inner
            yield f"{waits.__qualname__}:{waits.cr_frame.f_lineno if waits.cr_frame else 0}"


@contextmanager
def _own(directory: Path) -> Iterator[None]:
    """Hold the directory for this process, empty.

    The changelogs are read whole at each start: what a directory kept from earlier could be older than the removal of
    a deleted row's last trace from the changelog, or belong to topics that were made anew since.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Fatal(f"{directory} is in use by a mapper that runs: give each its own SYNCLINE_STATE_DIR") from None
        for entry in directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
        yield
