"""The folder of a run: removed at its end, swept by the next run when its own was killed."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from syncline.contracts.errors import Fatal
from syncline.local.machine import local_dir, make_dir, run_dir

Usage = namedtuple("Usage", "total used free")


def test_is_removed_with_its_content(tmp_path: Path) -> None:
    with run_dir(tmp_path) as path:
        (path / "kafka").mkdir()
        (path / "kafka" / "topic").write_text("data")
    assert list(tmp_path.iterdir()) == []


def test_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), run_dir(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_of_a_dead_run_is_removed_by_the_next_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    dead = tmp_path / "run-dead"
    dead.mkdir()
    (dead / "topic").write_text("data")
    dead.with_suffix(".lock").touch()
    with run_dir(tmp_path) as living, run_dir(tmp_path) as second:
        assert living.exists()
        assert second.exists()
        assert living != second
        assert not dead.exists()


def test_what_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with run_dir(tmp_path):
        pass
    assert (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_created_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match=r"file/data cannot be created.*SYNCLINE_LOCAL_DIR"):
        make_dir(tmp_path / "file" / "data")


def test_a_folder_that_is_not_writable_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # permissions do not bind root, who may run this
    with pytest.raises(Fatal, match=r"not writable.*SYNCLINE_LOCAL_DIR"):
        make_dir(tmp_path)


def test_a_full_disk_is_noticed_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 5_000_000))
    with pytest.raises(Fatal, match=r"5 MB are free, 1000 MB are needed"):
        make_dir(tmp_path)


def test_data_lives_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_LOCAL_DIR", str(tmp_path / "elsewhere"))
    assert local_dir() == tmp_path / "elsewhere"


def test_data_lives_below_the_working_directory_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCLINE_LOCAL_DIR", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.chdir(tmp_path)
    assert local_dir() == tmp_path / ".local"


def test_root_keeps_data_where_the_account_of_postgres_can_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNCLINE_LOCAL_DIR", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    assert local_dir() == Path("/var/lib/syncline")
