"""Passwords do not show where people look."""

from __future__ import annotations

from pathlib import Path

from syncline.local.postgres import Databases
from syncline.local.processes import Child
from syncline.local.stack import Stack
from syncline.runtime.postgres import place

URL = "postgresql://syncline:hush@127.0.0.1:5432/postgres"


def test_a_place_has_neither_user_nor_password() -> None:
    assert place(URL) == "127.0.0.1:5432/postgres"


def test_no_repr_holds_a_password(tmp_path: Path) -> None:
    child = Child("writer", ["writer"], tmp_path, env={"SYNCLINE_DATABASE_URL": URL})
    for shown in (Databases(URL), Stack("127.0.0.1:9092", URL, None, None), child):
        assert "hush" not in repr(shown)


def test_a_database_has_its_own_url() -> None:
    assert Databases(URL).url("hub") == "postgresql://syncline:hush@127.0.0.1:5432/hub"
