"""The databases of served and followed partitions: closed when they are left, and never opened again by accident.

Faust's own stores and RocksDB, without a broker.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from rocksdict import Options, Rdict

from services.mapper.engine import Input, faust_tables
from services.mapper.engine.faust_seam import new_app
from services.mapper.engine.faust_tables import TableManager, Tables
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.store import OFFSET_KEY
from syncline.contracts.errors import Transient


@pytest.fixture
async def manager(tmp_path: Path) -> TableManager:
    async def handler(records: Any, owned: Any) -> None:
        return None

    settings = EngineSettings(kafka="127.0.0.1:1", app_id="app", partitions=2, state_dir=tmp_path)
    manager: TableManager = new_app(settings, {"in": 0}, ["t", "u"], Progress(), handler).tables
    return manager


@pytest.fixture
def tables(manager: TableManager) -> Tables:
    return manager.databases


def path(manager: TableManager, partition: int, table: str = "t") -> Path:
    found: Path = manager[table].data.partition_path(partition)
    return found


def opened(folder: Path) -> Rdict:
    """By somebody else: RocksDB lets nobody in while it is open."""
    return Rdict(str(folder), Options(raw_mode=True))


def test_what_is_left_is_closed_though_a_reader_holds_an_iterator(manager: TableManager, tables: Tables) -> None:
    tables.write("t", 0, {b"k": b"v"}, 7)
    tables.write("t", 1, {b"k": b"other"}, 3)
    reader = tables.reader(0)
    assert reader.scan("t", b"") == [(b"k", b"v")]
    with pytest.raises(Exception, match="lock"):
        opened(path(manager, 0))
    tables.move(left=[0], here=[1])
    database = opened(path(manager, 0))
    assert (database.get(b"k"), database.get(OFFSET_KEY)) == (b"v", b"7")
    database.close()
    assert tables.reader(1).get("t", b"k") == b"other"


def test_what_comes_back_soon_is_read_on_and_what_comes_back_late_is_read_whole(
    manager: TableManager, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changelog forgets deletions after a while: what is older than that must not be read on."""
    tables.write("t", 0, {b"k": b"v"}, 7)
    tables.move(left=[0], here=[])
    tables.move(left=[], here=[0])
    assert manager["t"].persisted_offset(TP("app-t-changelog", 0)) == 7
    tables.move(left=[0], here=[])
    monkeypatch.setattr(faust_tables, "KEEP", 0.0)
    tables.move(left=[], here=[0])
    assert not path(manager, 0).exists()
    assert manager["t"].persisted_offset(TP("app-t-changelog", 0)) is None


def test_after_the_end_nothing_is_opened_again(manager: TableManager, tables: Tables) -> None:
    """A pass may still be under way. Faust would open the database again, and never close it."""
    tables.write("t", 0, {b"k": b"v"}, 7)
    reader = tables.reader(0)
    assert reader.scan("t", b"") == [(b"k", b"v")]
    tables.close()
    with pytest.raises(Transient, match="partition 0 were asked for after they were closed"):
        tables.write("t", 0, {b"k": b"late"}, 8)
    with pytest.raises(Transient):
        tables.reader(0)
    with pytest.raises(Transient):
        manager["t"].persisted_offset(TP("app-t-changelog", 1))
    with pytest.raises(Exception, match="closed"):
        reader.scan("t", b"")
    database = opened(path(manager, 0))
    assert database.get(b"k") == b"v"
    database.close()
    tables.close()


async def test_changelogs_are_restored_for_what_is_served_and_what_is_followed(manager: TableManager) -> None:
    def record(tp: TP, offset: int, key: bytes, value: bytes | None) -> Any:
        return Input(tp.topic, tp.partition, offset, key, value, 0)

    served, followed, foreign = TP("app-t-changelog", 0), TP("app-t-changelog", 1), TP("app-u-changelog", 1)
    recovery = manager.recovery
    recovery.add_active(manager["t"], served)
    recovery.add_standby(manager["t"], followed)
    recovery.active_highwaters[served] = 9
    recovery.standby_highwaters[followed] = 30
    recovery.standby_offsets[followed] = -1
    read = {
        served: [record(served, 8, b"a", b"1"), record(served, 9, b"b", b"2")],
        followed: [record(followed, 20, b"c", b"3"), record(followed, 21, b"c", None), record(followed, 22, b"d", b"")],
        foreign: [record(foreign, 5, b"e", b"4")],
    }
    assert manager.restore(read) == (2, 3)
    assert await manager.missing() == {}
    assert manager.databases.reader(1).scan("t", b"") == [(b"d", b"")]
    assert manager.databases.reader(1).get("u", b"e") is None
    assert [manager["t"].persisted_offset(tp) for tp in (served, followed)] == [9, 22]
    assert recovery.standby_offsets[followed] == 22
    manager.databases.close()


async def test_what_is_followed_costs_its_write_buffers_and_no_more(manager: TableManager, tables: Tables) -> None:
    rows = iter(range(10**9))
    most = 0
    for _ in range(60):
        tables.write("t", 0, {b"%d" % next(rows): os.urandom(1000) for _ in range(500)}, 7)
        database = manager["t"].data._db_for_partition(0)
        most = max(most, database.property_int_value("rocksdb.cur-size-all-mem-tables"))
    assert 1 << 20 < most <= 17 << 20, "30 MB were written"
    assert database.property_int_value("rocksdb.block-cache-usage") < 1 << 20
    tables.close()
