"""A partition in RocksDB: order, prefixes, and Faust's own row out of sight. RocksDB is a library, without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from services.mapper.engine.store import OFFSET_KEY, PartitionStore, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Rdict]:
    database = Rdict(str(tmp_path / "rows.db"), Options(raw_mode=True))
    yield database
    database.close()


def test_scan_is_in_order_of_keys_and_ends_with_the_prefix(database: Rdict) -> None:
    write(database, [(key, key) for key in (b"b", b"a|2", b"a", b"a|10", b"\xff")], 1)
    store = PartitionStore({"t": database})
    assert [key for key, _ in store.scan("t", b"a|")] == [b"a|10", b"a|2"]
    assert [key for key, _ in store.scan("t", b"c")] == []
    assert [key for key, _ in store.scan("t", b"\xff")] == [b"\xff"]


def test_a_batch_of_changes_stores_deletes_and_notes_the_offset(database: Rdict) -> None:
    write(database, [(b"a", b"1"), (b"b", b"")], 4)
    write(database, [(b"a", None), (b"c", b"3")], 9)
    store = PartitionStore({"t": database})
    assert list(store.scan("t", b"")) == [(b"b", b""), (b"c", b"3")]
    assert store.get("t", b"a") is None
    assert store.get("t", b"b") == b""
    assert database.get(OFFSET_KEY) == b"9"


def test_the_offset_row_is_no_row(database: Rdict) -> None:
    write(database, [], 4)
    store = PartitionStore({"t": database})
    assert list(store.scan("t", b"")) == []
    assert list(store.scan("t", b"__faust")) == []
