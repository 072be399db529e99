"""Everything that leans on Faust's insides, for faust-streaming 0.15.3, mode 0.7.1 and aiokafka 0.14.0.

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
from typing import Any, Protocol
from uuid import uuid4

import faust
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError
from faust.tables import manager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.mapper.engine.faust_access import Producer, SecureThread, brokers
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.store import PartitionStore, write
from syncline.contracts.errors import Fatal, Transient

log = structlog.get_logger()

POLL = 0.2
"""Seconds that one fetch waits for records, and so at most what it adds to a rebalance."""

TELL = 5.0
"""Seconds between two words about a recovery that goes on."""

Records = Mapping[TP, list[ConsumerRecord]]
Owned = Callable[[], Awaitable[bool]]


class Handler(Protocol):
    """What is done with fetched records."""

    async def __call__(self, records: Records, owned: Owned, done: Callable[[TP, int], bool]) -> bool:
        """Make the effects of `records` safe, calling `done(partition, next offset)` for each list that is.

        Stops as soon as `owned` or `done` says False, and returns False when anything is left to be read again.
        """
        ...


class ConsumerThread(SecureThread):
    """Where aiokafka's consumer lives: heartbeats go on while the main thread computes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._close_thread_loop_on_stop = True  # mode leaves open what it did not make

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust's 1.5 s is no setting of its. A fetch that waits for records holds back the fetch after a rewind.
        consumer._fetch_max_wait_ms = int(POLL * 1000)
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: frozenset[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Records:
        # Faust's own asks aiokafka's fetcher directly and so never learns that the group's coordination has died.
        wanted = (TopicPartition(*tp) for tp in active_partitions)
        fetched = await consumer.getmany(*wanted, timeout_ms=int((timeout or 0) * 1000), max_records=max_records)
        return {TP(*tp): records for tp, records in fetched.items()}

    async def rewind(self, inputs: Iterable[TP], changelogs: Iterable[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """Bring `inputs` to what is committed, or to the earliest record; returns their positions and their ends.

        The changelogs are not fetched any more: aiokafka would keep our own writes in memory, unread.
        """
        places: tuple[dict[TP, int], dict[TP, int]] = await self.call_thread(
            self._rewind, [TopicPartition(*tp) for tp in inputs], [TopicPartition(*tp) for tp in changelogs]
        )
        return places

    async def _rewind(
        self, partitions: list[TopicPartition], changelogs: list[TopicPartition]
    ) -> tuple[dict[TP, int], dict[TP, int]]:
        consumer: AIOKafkaConsumer = self._ensure_consumer()
        consumer.pause(*changelogs)
        committed = await asyncio.gather(*map(consumer.committed, partitions))
        if fresh := [tp for tp, offset in zip(partitions, committed, strict=True) if offset is None]:
            await consumer.seek_to_beginning(*fresh)
        for tp, offset in zip(partitions, committed, strict=True):
            if offset is not None:
                consumer.seek(tp, offset)
        positions = {TP(*tp): await consumer.position(tp) for tp in partitions}
        return positions, {TP(*tp): end for tp, end in (await consumer.end_offsets(partitions)).items()}

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """False: the group has moved on and the partitions may be another's. Raises KafkaError for anything else."""
        try:
            await self.call_thread(
                self._ensure_consumer().commit, {TopicPartition(*tp): offset for tp, offset in offsets.items()}
            )
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("not committed, will be read again", why=str(error))
            return False
        return True

    def generation(self) -> int:
        """The group generation that this member belongs to; -1 once the group has thrown it out."""
        return int(self._ensure_consumer()._coordinator.generation)


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Hands whole lists of records to the handler and acknowledges what it says is done."""

    def __init__(self, transport: Transport, *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        self._settings = transport.settings
        self._progress = transport.progress
        self._handler = transport.handler
        self._order = transport.order
        self._epoch = 0  # grows whenever the assignment ends or begins
        self._serving = False  # inputs are taken: tables are restored and inputs rewound
        self._rewind_wanted = False
        self._positions: dict[TP, int] = {}  # next offset to handle
        self._unread: dict[TP, int] = {}  # where what was there at the assignment ends, while it is not handled
        self._done: dict[TP, int] = {}  # to commit
        self._handling = asyncio.Lock()
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
        if self._rewind_wanted:
            await self._rewind(epoch)
        # A copy: Faust changes its set while aiokafka reads it in the other thread.
        active = self._due(frozenset(self._active_partitions))
        if not active:
            await asyncio.sleep(POLL)
            return
        records: Records = await self._getmany(active, POLL)
        if epoch != self._epoch or not self.flow_active:
            return
        changelogs = self.app.tables.changelog_topics
        await self._restore({tp: batch for tp, batch in records.items() if tp.topic in changelogs})
        inputs = {tp: batch for tp, batch in records.items() if tp.topic not in changelogs}
        if inputs and self._serving:
            async with self._handling:
                if not await self._handler(inputs, self._owner(epoch, inputs), self._mark_done):
                    # What was left out must come again before what follows it, or a commit would pass over it.
                    self._serving, self._rewind_wanted = False, True
        self._measure()

    def _due(self, active: frozenset[TP]) -> frozenset[TP]:
        """What may be read now. What earlier owners said to a later hop is read before the earlier hop goes on: from
        then on it hands over here (see batch.py), and what it says must not overtake what was said before."""
        self._unread = {tp: end for tp, end in self._unread.items() if self._positions.get(tp, end) < end}
        if not self._unread:
            return active
        last = max(self._order[tp.topic] for tp in self._unread)
        return frozenset(tp for tp in active if self._order.get(tp.topic, last) >= last)

    async def _rewind(self, epoch: int) -> None:
        await self.commit()
        assigned = self.assignment()
        changelogs = {tp for tp in assigned if tp.topic in self.app.tables.changelog_topics}
        inputs = assigned - changelogs
        self._check_copartitioning(assigned)
        try:
            positions, ends = await self._thread.rewind(inputs, changelogs)
        except IllegalStateError:
            return  # assigned no longer: the next assignment asks again
        if epoch != self._epoch or not self.flow_active:
            return
        self._rewind_wanted = False
        self._positions = positions
        self._unread = {tp: end for tp, end in ends.items() if self._order[tp.topic]}
        self._done = {}
        self._serving = True
        now = time.monotonic()
        self._progress.assigned = frozenset((tp.topic, tp.partition) for tp in inputs)
        self._progress.moved_at = {(tp.topic, tp.partition): now for tp in inputs}
        self._progress.lag = {}
        self._progress.recovering, self._progress.missing = False, 0
        log.info(
            "serving",
            partitions=sorted(f"{tp.topic}-{tp.partition}" for tp in inputs),
            restored=self._restored(),
            seconds=round(now - self._assigned_at, 3),
        )

    def _check_copartitioning(self, assigned: set[TP]) -> None:
        """Faust's assignor puts together what has the same partition count *and* the same subscribers, no more."""
        for changelog in self.app.tables.changelog_topics:
            held = {tp.partition for tp in assigned if tp.topic == changelog}
            if missing := {tp.partition for tp in assigned} - held:
                raise Fatal(
                    f"partitions {sorted(missing)} were assigned without those of {changelog}: versions with different "
                    "topics or tables cannot share a group; stop all of the old before the first of the new"
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

    def _mark_done(self, tp: TP, offset: int) -> bool:
        """Returns whether to go on with what else was fetched."""
        self._positions[tp] = self._done[tp] = offset
        self._progress.moved_at[tp.topic, tp.partition] = time.monotonic()
        return self._serving

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
        """Write changelog records as the batches they came in. Faust's way is a queue, record by record, that a
        rebalance empties; the bookkeeping by which it notices the end is kept for it here."""
        recovery = self.app.tables.recovery
        for tp, records in changelogs.items():
            if tp in recovery.active_tps:
                database = recovery.tp_to_table[tp].data._db_for_partition(tp.partition)
                write(database, ((record.key, record.value) for record in records), records[-1].offset)
                recovery.active_offsets[tp] = records[-1].offset
                self._progress.restored += len(records)
                self._restored_at = time.monotonic()
        if not recovery.in_recovery:
            return
        try:
            for tp, left in recovery.active_remaining().items():
                # The last offset may be a transaction's marker, which is fetched past but never handed out.
                if left > 0 and await self.position(tp) > recovery.active_highwaters[tp]:
                    recovery.active_offsets[tp] = recovery.active_highwaters[tp]
        except IllegalStateError:
            return  # assigned no longer
        self._progress.missing = sum(max(0, left) for left in recovery.active_remaining().values())
        if time.monotonic() - self._told_at > TELL:
            self._told_at = time.monotonic()
            log.info("restoring", records=self._restored(), missing=self._progress.missing)
        if not recovery.need_recovery():
            recovery.signal_recovery_end.set()
        elif time.monotonic() - self._restored_at > self._settings.recovery_timeout:
            missing = {f"{tp.topic}-{tp.partition}": n for tp, n in recovery.active_remaining().items() if n > 0}
            raise Transient(f"recovery is stuck: changelogs lack records that their ends promise: {missing}")

    def _restored(self) -> int:
        return self._progress.restored - self._restored_before

    # -- acknowledging -------------------------------------------------------------------------------------------

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is done. Also called by Faust, each `broker_commit_interval`."""
        async with self._committing:
            offsets, self._done = self._done, {}
            return bool(offsets) and await self._thread.commit_offsets(offsets)

    async def wait_empty(self) -> None:
        """Let the batch in flight finish, begin no other, commit. Faust calls this before it gives partitions up.

        Raises Transient when that takes too long: then only the end of the process stops the batch.
        """
        self.stop_flow()
        self._serving = False
        try:
            async with asyncio.timeout(self._settings.rebalance_timeout * 0.9), self._handling:
                await self.commit()
        except TimeoutError:
            raise Transient("a batch in flight did not end in time for the rebalance") from None

    # -- the assignment's ends -----------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()
        self._progress.recovering = True
        self._progress.rebalances += 1
        self._progress.assigned = frozenset()
        self._progress.lag, self._progress.moved_at = {}, {}
        await super().on_partitions_revoked(revoked)
        self._epoch += 1
        self._serving = self._rewind_wanted = False
        self._positions, self._done = {}, {}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Faust leaves the flow on when it had no partitions before, and a fetch from then may still be under way.
        self.stop_flow()
        self._epoch += 1
        self._serving = self._rewind_wanted = False
        await self._parked.wait()
        # Left over from the last recovery, it would end the next one before it began.
        self.app.tables.recovery.signal_recovery_end.clear()
        self._assigned_at = self._restored_at = self._told_at = time.monotonic()
        self._restored_before = self._progress.restored
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Not so: Faust calls this while a fetch may be under way, and only when there are partitions."""

    def on_tables_ready(self) -> None:
        self._rewind_wanted = True

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


class TableManager(manager.TableManager):  # type: ignore[misc]
    async def on_start(self) -> None:
        # Faust's own sleeps for a second first, so that agents may add tables. Here all are there.
        await self._update_channels()
        await self.recovery.start()

    def on_actives_ready(self) -> None:
        super().on_actives_ready()
        self.app.consumer.on_tables_ready()


class Tables:
    """The app's tables, by partition, past Faust's accessors: those look for the event that a stream is handling."""

    def __init__(self, app: faust.App) -> None:
        self._stores = {name: table.data for name, table in app.tables.items()}

    def reader(self, partition: int) -> PartitionStore:
        return PartitionStore({name: store._db_for_partition(partition) for name, store in self._stores.items()})

    def write(self, table: str, partition: int, changes: Mapping[bytes, bytes | None], offset: int) -> None:
        write(self._stores[table]._db_for_partition(partition), changes.items(), offset)


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
        TableManager=TableManager,
        web_enabled=False,
        # Members that share a URL would share an entry in the assignor's books.
        canonical_url=f"http://{uuid4().hex}",
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_recovery_delay=0.0,
        stream_wait_empty=True,
        broker_client_id=settings.instance,
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.session_timeout / 5,
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
    options = {
        "block_cache_size": 16 << 20,
        "write_buffer_size": 8 << 20,
        "max_write_buffer_number": 2,
        "bloom_filter_size": 10,
    }
    for table in tables:
        app.Table(table, partitions=settings.partitions, key_type=bytes, value_type=bytes, options=dict(options))
    return app
