"""Migrations run before the services are replaced, and services may go back by one release: so they only add."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

RELEASED: dict[str, str] = json.loads((Path(__file__).parent / "released" / "migrations.json").read_text())
"""Migration of the last release to the digest of its file."""
MIGRATIONS = {
    entry.name: entry.read_text(encoding="utf-8")
    for entry in (files("syncline.state") / "migrations").iterdir()
    if entry.name.endswith(".sql")
}
COMMENT = re.compile(r"--[^\n]*")
ADDS = re.compile(r"CREATE TABLE|CREATE INDEX|COMMENT ON", re.IGNORECASE)
COLUMNS = re.compile(r"ALTER TABLE \S+\s+ADD COLUMN (?P<columns>.*)", re.IGNORECASE | re.DOTALL)
NEXT = re.compile(r",\s*ADD COLUMN ", re.IGNORECASE)
OTHER = re.compile(r"UNIQUE|CHECK|REFERENCES|,\s*(DROP|ALTER|RENAME)", re.IGNORECASE)


def faults(script: str) -> list[str]:
    """Statements with which the last release might not live: it neither fills a column that it does not know, nor does
    without one that it does, and what it writes must not be refused."""
    found = []
    for statement in filter(None, map(str.strip, COMMENT.sub("", script).split(";"))):
        added = COLUMNS.fullmatch(statement)
        columns = NEXT.split(added["columns"]) if added else []
        if not (ADDS.match(statement) or columns) or any(map(_breaks, columns)):
            found.append(statement)
    return found


def _breaks(column: str) -> bool:
    words = column.upper()
    return ("NOT NULL" in words and "DEFAULT" not in words) or OTHER.search(words) is not None


@pytest.mark.parametrize("name", sorted(MIGRATIONS.keys() - RELEASED.keys()))
def test_a_new_migration_only_adds(name: str) -> None:
    assert faults(MIGRATIONS[name]) == []
    assert name > max(RELEASED), "it would come before what is applied already"


def test_a_released_migration_stays_as_it_is() -> None:
    """It was applied, and will not be again."""
    now = {name: hashlib.sha256(script.encode()).hexdigest() for name, script in MIGRATIONS.items()}
    assert {name: now.get(name) for name in RELEASED} == RELEASED


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE syncline.links DROP COLUMN revision",
        "ALTER TABLE syncline.links RENAME COLUMN revision TO version",
        "ALTER TABLE syncline.links ADD COLUMN more int NOT NULL",
        "ALTER TABLE syncline.links ADD COLUMN more int CHECK (more > 0)",
        "ALTER TABLE syncline.links ADD COLUMN more int, DROP COLUMN revision",
        "ALTER TABLE syncline.links ADD COLUMN fine int DEFAULT 0, ADD COLUMN more int NOT NULL",
        "ALTER TABLE syncline.links ALTER COLUMN revision TYPE text",
        "CREATE UNIQUE INDEX one ON syncline.links (a_id)",
        "DROP TABLE syncline.members",
        "UPDATE syncline.links SET revision = 0",
    ],
)
def test_what_would_break_the_last_release_is_found(statement: str) -> None:
    assert faults(f"-- why\nCREATE TABLE syncline.fine (id int NOT NULL);\n{statement};\n") == [statement]


@pytest.mark.parametrize("more", ["int", "int NOT NULL DEFAULT 0", "jsonb NOT NULL DEFAULT '[]'"])
def test_a_column_that_fills_itself_is_fine(more: str) -> None:
    assert faults(f"ALTER TABLE syncline.links ADD COLUMN more {more};") == []
