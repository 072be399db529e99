"""What leans on Faust's insides, for faust-streaming 0.15.3, mode 0.7.1 and aiokafka 0.14.0: the app and its consumer.
The tables are in `faust_tables`, the shares in `faust_assignor`, aiokafka's consumer in `faust_thread`.

Faust keeps the group membership, the assignment, the tables' partitions and the order of recovery. Reading, committing
and restoring are ours, because stock Faust loses events there: it reads with a set that another thread changes under it
(and takes an empty one for "everything"), clears its queues after recovery, acknowledges what raised, and "seeks to the
committed offset" by not seeking at all where nothing was committed yet.

The rule that makes reading right: `_drain_messages` is the only coroutine that fetches and the only one that rewinds
inputs, one thing after the other, and it is parked from before an assignment is handled until recovery has sought the
changelogs. So whatever it throws away is read again, and nothing is fetched from a place that is about to change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import faust
import structlog
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.mapper.engine.assignment import Numbers
from services.mapper.engine.faust_access import Producer, brokers
from services.mapper.engine.faust_assignor import Assignor
from services.mapper.engine.faust_tables import DATABASE, Records, TableManager
from services.mapper.engine.faust_thread import POLL, ConsumerThread
from services.mapper.engine.placement import check, strays, watch, watched
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings
from syncline.contracts.errors import Transient

log = structlog.get_logger()

TELL = 5.0
"""Seconds between two words about a recovery that goes on."""

Owned = Callable[[], Awaitable[bool]]


Finish = Callable[[], Awaitable[bool]]
"""Makes effects safe. False: they are no longer ours."""


class Handler(Protocol):
    """What is done with fetched records."""

    async def __call__(self, records: Records, owned: Owned) -> Finish | None:
        """Begin with `records`, over the effects of those before; they are finished in the same order. Both stop as
        soon as `owned` says False. None: it did."""
        ...


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Hands whole lists of records to the handler and acknowledges what it says is done."""

    def __init__(self, transport: Transport, *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        self._settings = transport.settings
        self._progress = transport.progress
        self._handler = transport.handler
        self._order = transport.order
        self._epoch = 0  # grows whenever the assignment ends or begins
        self._following = False  # what is followed had something new when it was last asked for
        self._asked: Numbers = frozenset()  # what the group was last asked to divide again for
        self._serving = False  # inputs are taken: tables are restored and inputs rewound
        self._rewind_due = asyncio.Event()
        self._positions: dict[TP, int] = {}  # next offset to handle
        self._unread: dict[TP, int] = {}  # where what was there at the assignment ends, while it is not handled
        self._astray: frozenset[TP] = frozenset()  # assigned without their tables
        self._done: dict[TP, int] = {}  # to commit
        self._watched = watched(self._settings)
        self._handling = asyncio.Lock()
        self._finishing: asyncio.Task[None] | None = None  # the last pass, while the next one is computed
        self._committing = asyncio.Lock()
        self._parked = asyncio.Event()
        self._parked.set()
        self._restored_at = time.monotonic()
        self._assigned_at = self._told_at = time.monotonic()
        self._restored_before = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, thread_loop=type(self.loop)(), beacon=self.beacon)

    # -- reading -------------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if self.flow_active:
                    self._parked.clear()
                    await self._step()
                else:
                    self._parked.set()
                    await self.wait(self.can_resume_flow)
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        finally:
            self._parked.set()

    async def _step(self) -> None:
        epoch = self._epoch
        self._progress.looked_at = time.monotonic()
        if self._finishing and self._finishing.done():
            self._finishing.result()
        if self._rewind_due.is_set():
            await self._rewind(epoch)
        # A copy: Faust changes its set while aiokafka reads it in the other thread.
        active = frozenset(self._active_partitions)
        followed = active & self.app.tables.recovery.standby_tps
        if self._unread:
            await self._finished()  # by then it is known what of it is left
        due, wait = self._due(active - followed - self._astray), 0.0 if self._following else POLL
        if due:
            records: Records = await self._getmany(due, wait)
        else:
            records = {}
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._rewind_due.wait()
        if epoch != self._epoch or not self.flow_active:
            return
        changelogs = self.app.tables.changelog_topics
        await self._restore({tp: batch for tp, batch in records.items() if tp.topic in changelogs})
        inputs = {tp: batch for tp, batch in records.items() if tp.topic not in changelogs}
        if inputs and self._serving:
            async with self._handling:
                finish = await self._handler(inputs, self._owner(epoch, inputs))
                await self._finished()
                self._finishing = asyncio.create_task(self._finish(epoch, inputs, finish))
        await self._follow(epoch, followed)
        self._measure()

    async def _follow(self, epoch: int, changelogs: Iterable[TP]) -> None:
        """Read on in the changelogs of what others serve: after each pass as many records as a pass may have, so that
        our own inputs never wait for more than that."""
        records = await self._thread.follow(changelogs) if changelogs else {}
        if epoch != self._epoch or not self.flow_active:
            return
        self._progress.followed += self._write(records)[1]
        self._following = bool(records)
        behind = self.app.tables.behind()
        self._progress.following = {(tp.topic, tp.partition): left for tp, left in behind.items()}
        near = {tp for tp, left in behind.items() if left <= self._settings.standby_lag}
        late = {tp.partition for tp in self.app.tables.recovery.standby_tps - near}
        assignor = self.app.assignor
        assignor.whole = (assignor.whole | {tp.partition for tp in near}) - late
        was, self._progress.caught_up = self._progress.caught_up, bool(near) and not late
        if self._progress.caught_up and not was:
            log.info("caught up", partitions=sorted(assignor.followed), records=self._progress.followed)
        if self._serving and (wanted := assignor.ripe()) != self._asked:
            self._asked = wanted  # once: a leader of another version may see no need
            if wanted:
                log.info("ready for more partitions", partitions=sorted(wanted))
                await self._thread.divide()

    def _due(self, active: frozenset[TP]) -> frozenset[TP]:
        """What may be read now. What earlier owners said to a later hop is read before the earlier hop goes on: from
        then on it hands over here (see batch.py), and what it says must not overtake what was said before."""
        self._unread = {tp: end for tp, end in self._unread.items() if self._positions.get(tp, end) < end}
        if not self._unread:
            return active
        last = max(self._order[tp.topic] for tp in self._unread)
        return frozenset(tp for tp in active if self._order.get(tp.topic, last) >= last)

    async def _rewind(self, epoch: int) -> None:
        await self._finished()
        await self.commit()
        assigned = self.assignment()
        served, changelogs = assigned - self.app.tables.recovery.standby_tps, self.app.tables.changelog_topics
        inputs = {tp for tp in served if tp.topic not in changelogs}
        check(assigned, self._watched, self._settings.partitions)
        astray = strays(served, changelogs)
        try:
            positions, ends = await self._thread.rewind(inputs, served - inputs)
        except IllegalStateError:
            self._rewind_due.clear()
            return  # assigned no longer: the next assignment asks again
        if epoch != self._epoch or not self.flow_active:
            return
        self._rewind_due.clear()
        self._positions = positions
        self._astray = astray
        self._unread = {tp: end for tp, end in ends.items() if self._order[tp.topic] and tp not in astray}
        self._done = {}
        self._serving = True
        now = time.monotonic()
        self._progress.assigned = frozenset((tp.topic, tp.partition) for tp in inputs - astray)
        self._progress.moved_at = {(tp.topic, tp.partition): now for tp in inputs - astray}
        self._progress.lag = {}
        self._progress.idle = not inputs and not self.app.assignor.followed
        self._progress.recovering, self._progress.missing = False, 0
        self.app.assignor.whole |= self.app.assignor.served
        log.info(
            "serving",
            partitions=sorted(f"{tp.topic}-{tp.partition}" for tp in inputs - astray),
            following=sorted(self.app.assignor.followed),
            restored=self._restored(),
            seconds=round(now - self._assigned_at, 3),
        )

    def _owner(self, epoch: int, inputs: Records) -> Owned:
        """A process that was frozen, or cut off, learns late that its partitions went to another. In doubt it asks the
        group, by committing where it already is, before it sends or stores what may be another's by now."""
        asked = time.monotonic()

        async def owned() -> bool:
            nonlocal asked
            if epoch != self._epoch or self._thread.generation() != self.app.consumer_generation_id:
                return False
            if time.monotonic() - asked < self._settings.session_timeout / 2:
                return True
            asked = time.monotonic()
            still: bool = await self._thread.commit_offsets({tp: self._positions[tp] for tp in inputs})
            return still

        return owned

    async def _finish(self, epoch: int, inputs: Records, finish: Finish | None) -> None:
        safe = finish is not None and await finish()
        if epoch != self._epoch:
            return
        if not safe:
            # What was left out must come again before what follows it, or a commit would pass over it.
            self._serving = False
            self._rewind_due.set()
            return
        for tp, records in inputs.items():
            self._positions[tp] = self._done[tp] = records[-1].offset + 1
            self._progress.moved_at[tp.topic, tp.partition] = time.monotonic()

    async def _finished(self) -> None:
        """Wait for the last pass. Raises what it failed with."""
        if self._finishing:
            await asyncio.wait({self._finishing})
            self._finishing.result()

    def _measure(self) -> None:
        for tp, position in self._positions.items():
            try:
                end = self.highwater(tp)
            except (AssertionError, AttributeError):
                return  # not assigned any more, as the other thread knows already
            if end is not None:
                self._progress.lag[tp.topic, tp.partition] = max(0, end - position)

    # -- restoring tables ----------------------------------------------------------------------------------------

    async def _restore(self, changelogs: Records) -> None:
        """Write what was read of the changelogs, and tell Faust when that is all."""
        restored, _ = self._write(changelogs)
        if restored:
            self._progress.restored += restored
            self._restored_at = time.monotonic()
        if not self.app.tables.recovery.in_recovery:
            return
        try:
            missing = await self.app.tables.missing()
        except IllegalStateError:
            return  # assigned no longer
        self._progress.missing = sum(missing.values())
        if time.monotonic() - self._told_at > TELL:
            self._told_at = time.monotonic()
            log.info("restoring", records=self._restored(), missing=self._progress.missing)
        if not missing:
            self.app.tables.recovery.signal_recovery_end.set()
        elif time.monotonic() - self._restored_at > self._settings.recovery_timeout:
            lacking = {f"{tp.topic}-{tp.partition}": left for tp, left in missing.items()}
            raise Transient(f"recovery is stuck: changelogs lack records that their ends promise: {lacking}")

    def _write(self, changelogs: Records) -> tuple[int, int]:
        """How many records of what is to be served, and how many of what is followed."""
        for tp, records in changelogs.items():
            watch(self._watched, tp, records)
        written: tuple[int, int] = self.app.tables.restore(changelogs)
        return written

    def _restored(self) -> int:
        return self._progress.restored - self._restored_before

    # -- acknowledging -------------------------------------------------------------------------------------------

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is done. Also called by Faust, each `broker_commit_interval`."""
        async with self._committing:
            offsets, self._done = self._done, {}
            return bool(offsets) and await self._thread.commit_offsets(offsets)

    async def wait_empty(self) -> None:
        """Let the passes in flight end, begin no other, commit. Faust calls this before it gives partitions up.

        Raises Transient when that takes too long: then only the end of the process stops them; and what the last one
        failed with.
        """
        self.stop_flow()
        self._serving = False
        try:
            async with asyncio.timeout(self._settings.rebalance_timeout * 0.9), self._handling:
                try:
                    await self._finished()
                finally:
                    await self.commit()
        except TimeoutError:
            raise Transient("a pass in flight did not end in time for the rebalance") from None

    async def on_stop(self) -> None:
        if self._finishing:  # should it fail, that is what ends the process, or comes of what does
            await asyncio.gather(self._finishing, return_exceptions=True)
            self._finishing = None
        await super().on_stop()

    # -- the assignment's ends -----------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()
        self._progress.recovering = True
        self._progress.rebalances += 1
        self._progress.assigned = frozenset()
        self._progress.lag, self._progress.moved_at, self._progress.following = {}, {}, {}
        await super().on_partitions_revoked(revoked)
        self._epoch += 1
        self._serving = False
        self._rewind_due.clear()
        self._positions, self._done = {}, {}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Faust leaves the flow on when it had no partitions before, and a fetch from then may still be under way.
        self.stop_flow()
        self._epoch += 1
        self._serving = False
        self._rewind_due.clear()
        await self._parked.wait()
        # Left over from the last recovery, it would end the next one before it began.
        self.app.tables.recovery.signal_recovery_end.clear()
        self._assigned_at = self._restored_at = self._told_at = time.monotonic()
        self._restored_before = self._progress.restored
        self._following = self._progress.caught_up = False
        assignor = self.app.assignor
        assignor.whole &= assignor.served | assignor.followed
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Not so: Faust calls this while a fetch may be under way, and only when there are partitions."""

    def on_tables_ready(self) -> None:
        self._rewind_due.set()

    # Faust's stall detectors look at streams and at its own acknowledgements, which do not exist here; Progress does.
    def verify_event_path(self, now: float, tp: TP) -> None: ...

    def verify_recovery_event_path(self, now: float, tp: TP) -> None: ...


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer
    Producer = Producer

    def __init__(
        self, app: faust.App, settings: EngineSettings, progress: Progress, handler: Handler, order: Mapping[str, int]
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.order = order
        self.settings = settings
        self.progress = progress
        self.handler = handler


def new_app(
    settings: EngineSettings, topics: Mapping[str, int], tables: Iterable[str], progress: Progress, handler: Handler
) -> faust.App:
    """The Faust app: no agents, no web server, no topics of its own making. Needs a running event loop.

    topics: each with the place in the row of hops of the one that reads it.
    """
    app = faust.App(
        settings.app_id,
        broker=brokers(settings),
        store="rocksdb://",
        datadir=str(settings.state_dir),
        autodiscover=False,
        PartitionAssignor=Assignor,
        TableManager=TableManager,
        web_enabled=False,
        # Members that share a URL would share an entry in the assignor's books.
        canonical_url=f"http://{uuid4().hex}",
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=settings.standby_replicas,
        stream_recovery_delay=0.0,
        stream_wait_empty=True,
        broker_client_id=settings.instance,
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.heartbeat,
        broker_rebalance_timeout=settings.rebalance_timeout,
        broker_request_timeout=max(40.0, settings.session_timeout),
        broker_commit_interval=settings.commit_interval,
        broker_max_poll_records=settings.batch_records,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=2 * 1024 * 1024,  # kept in memory for each partition; a larger record comes alone
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_batch_size=960 * 1024,  # below the megabyte that brokers take by default
        producer_max_request_size=settings.max_request_size,
        producer_request_timeout=settings.delivery_timeout,
    )
    app.transport = app.producer_transport = Transport(app, settings, progress, handler, topics)
    for topic in topics:
        # What an agent would do; without one nothing consumes the topic behind our back.
        app.topics.add(app.topic(topic, key_type=bytes, value_type=bytes, partitions=settings.partitions))
    for table in tables:
        app.Table(table, partitions=settings.partitions, key_type=bytes, value_type=bytes, options=dict(DATABASE))
    return app
