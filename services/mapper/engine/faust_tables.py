"""The tables' databases and changelogs past Faust's accessors, which look for the event that a stream is handling.

Faust says which partitions are served and followed, opens their databases and knows where each changelog is to be read
on. What is read is written here, in the batches it came in: Faust's way is a queue, record by record, that each
rebalance empties, and what a standby loses there it never gets again. Databases are closed here too: Faust only
forgets them, and a forgotten one stays open, with its threads and its lock, for as long as anybody holds a row's
iterator, and past the end of the interpreter.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakSet

import faust
from aiokafka.errors import IllegalStateError
from faust.tables import manager
from faust.types import TP
from rocksdict import Rdict

from services.mapper.engine.hop import Input
from services.mapper.engine.store import PartitionStore, Rows
from syncline.contracts.errors import Transient

Records = Mapping[TP, Sequence[Input]]

DATABASE = {
    "block_cache_size": 16 << 20,
    "write_buffer_size": 8 << 20,
    "max_write_buffer_number": 2,
    "bloom_filter_size": 10,
}
"""Of a table's partition, in bytes at most. The cache fills by reading: that of one which is followed stays empty."""
KEEP = 3600.0
"""Seconds that the database of a partition is kept that is no longer here. One kept for longer than the changelog keeps
deletions (days) would bring deleted rows back."""


class Tables:
    """The databases of the partitions that are here, served or followed."""

    def __init__(self, app: faust.App) -> None:
        self._stores = {name: table.data for name, table in app.tables.items()}
        self._readers: WeakSet[PartitionStore] = WeakSet()
        self._left: dict[int, float] = {}
        self._rows: dict[tuple[str, int], Rows] = {}

    def reader(self, partition: int) -> PartitionStore:
        reader = PartitionStore({name: self._partition(name, partition) for name in self._stores})
        self._readers.add(reader)
        return reader

    def write(self, table: str, partition: int, changes: Mapping[bytes, bytes | None], offset: int) -> None:
        self._partition(table, partition).write(changes.items(), offset)

    def restore(self, table: str, partition: int, records: Sequence[Input]) -> None:
        rows: Iterable[tuple[Any, Any]] = ((record.key, record.value) for record in records)
        self._partition(table, partition).write(rows, records[-1].offset)

    def move(self, left: Iterable[int], here: Iterable[int]) -> None:
        """Close what is neither served nor followed any more, and delete what was left long ago."""
        for reader in self._readers:
            reader.close()
        for number in left:
            for name, store in self._stores.items():
                self._rows.pop((name, number), None)
                if database := store._dbs.pop(number, None):
                    database.close()
            self._left[number] = time.monotonic()
        for number, at in [*self._left.items()]:
            if time.monotonic() - at > KEEP:
                del self._left[number]
                for store in self._stores.values():
                    shutil.rmtree(store.partition_path(number), ignore_errors=True)
        for number in here:
            self._left.pop(number, None)

    def close(self) -> None:
        """For good: whoever still asks for a row or writes one gets an error, and none is opened again."""
        for reader in self._readers:
            reader.close()
        for store in self._stores.values():
            store._open_for_partition = _refuse
            while store._dbs:
                store._dbs.popitem()[1].close()
        self._rows.clear()

    def _partition(self, table: str, number: int) -> Rows:
        database = self._stores[table]._db_for_partition(number)
        rows = self._rows.get((table, number))
        if rows is None or rows.database is not database:
            rows = self._rows[table, number] = Rows(database)
        return rows


def _refuse(partition: int) -> Rdict:
    raise Transient(f"the tables of partition {partition} were asked for after they were closed")


class TableManager(manager.TableManager):  # type: ignore[misc]
    @cached_property
    def databases(self) -> Tables:
        """When all tables are declared."""
        return Tables(self.app)

    async def on_start(self) -> None:
        # Faust's own sleeps for a second first, so that agents may add tables. Here all are there.
        await self._update_channels()
        await self.recovery.start()

    async def on_stop(self) -> None:
        await self.app._fetcher.stop()
        await self.recovery.stop()
        self.databases.close()
        await super().on_stop()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        # As Faust does, but for how databases are closed: it collects all garbage for that, once for each table.
        self._recovery_started.set()
        here = self._numbers(assigned)
        self.databases.move(self._numbers(revoked) - here, here)
        for table in self.values():
            await table.data.assign_partitions(table, newly_assigned, generation_id)
        await self._update_channels()
        await self.recovery.on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def on_actives_ready(self) -> None:
        super().on_actives_ready()
        self.app.consumer.on_tables_ready()

    def restore(self, changelogs: Records) -> tuple[int, int]:
        """Write changelog records; returns how many of partitions that are to be served, and how many of followed ones.
        Faust's books, by which it notices that its recovery is at its end, are kept for it."""
        recovery, restored, followed = self.recovery, 0, 0
        for tp, records in changelogs.items():
            if tp in recovery.active_tps:
                offsets, restored = recovery.active_offsets, restored + len(records)
            elif tp in recovery.standby_tps:
                offsets, followed = recovery.standby_offsets, followed + len(records)
            else:
                continue
            self.databases.restore(recovery.tp_to_table[tp].name, tp.partition, records)
            offsets[tp] = records[-1].offset
        return restored, followed

    async def missing(self) -> dict[TP, int]:
        """What is still to be read before inputs are taken. Raises IllegalStateError when it is assigned no longer."""
        recovery = self.recovery
        for tp, left in recovery.active_remaining().items():
            # The last offset may be a transaction's marker, which is fetched past but never handed out.
            if left > 0 and await self.app.consumer.position(tp) > recovery.active_highwaters[tp]:
                recovery.active_offsets[tp] = recovery.active_highwaters[tp]
        return {tp: left for tp, left in recovery.active_remaining().items() if left > 0}

    def behind(self) -> dict[TP, int]:
        """Of each changelog partition that is followed: how many records it is behind, as of its last fetch."""
        recovery, behind = self.recovery, {}
        for tp in recovery.standby_tps:
            end, offset = recovery.standby_highwaters.get(tp), recovery.standby_offsets.get(tp)
            if end is None or offset is None:
                continue  # Faust has not looked where it ends and begins
            try:
                end = max(end, (self.app.consumer.highwater(tp) or 0) - 1)
            except (AssertionError, AttributeError, IllegalStateError):
                continue  # not assigned any more, as the other thread knows already
            behind[tp] = max(0, end - offset)
        return behind

    def _numbers(self, tps: Iterable[TP]) -> set[int]:
        return {tp.partition for tp in tps if tp.topic in self.changelog_topics}
