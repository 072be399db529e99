"""Statements are found by their names in .sql files."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.runtime.sql import statements

ROOT = Path(__file__).parents[3]
FILE = """\
-- Why this file is what it is.

-- name: first
-- Its own reason.
SELECT 1;

-- name: second
SELECT '-- name: third' AS text,
       2;
"""


def test_a_statement_reaches_to_the_next_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shipped_sql"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "some.sql").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    assert statements("shipped_sql", "some.sql") == {
        "first": "-- Its own reason.\nSELECT 1;",
        "second": "SELECT '-- name: third' AS text,\n       2;",
    }


def test_every_shipped_statement_has_a_name_of_its_own_and_a_body() -> None:
    shipped = [path for folder in ("syncline", "services") for path in (ROOT / folder).rglob("*.sql")]
    named = [path for path in shipped if "-- name: " in path.read_text()]
    assert len(named) > 5
    for path in named:
        found = statements(".".join(path.relative_to(ROOT).parent.parts), path.name)
        assert len(found) == path.read_text().count("-- name: "), path
        assert all(found.values()), path
