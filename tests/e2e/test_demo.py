"""`syncline demo --json`, as a person or a CI job runs it: its exit code, and what it says of both sides."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from syncline.local.demo.data import Sizes

PROGRAM = Path(sys.executable).with_name("syncline")


@pytest.fixture(scope="module")
async def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What it printed on standard output, all of it one JSON object; it exited 0."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SYNCLINE_")}
    log = tmp_path_factory.mktemp("demo") / "stderr"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM), "demo", "--json", stdout=asyncio.subprocess.PIPE, stderr=stderr, env=own
        )
        try:
            async with asyncio.timeout(240):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, log.read_text()
    found: dict[str, Any] = json.loads(output)
    return found


def test_both_sides_are_equal_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    assert document["equal"] is True
    assert (document["differing"], document["unaccounted"]) == ([], [])
    assert document["dead_letters"] == 0
    assert document["held"]["peak"] > 0
    assert document["held"]["now"] == 0
    assert document["parents_asked_for"] > 0
    assert document["killed"] == "writer-0"


def test_every_record_is_on_both_sides_but_for_the_contacts_without_account(document: dict[str, Any]) -> None:
    sizes = Sizes()
    org, hub = document["records"]["salesforce"], document["records"]["hub"]
    known = int(sizes.companies * sizes.matching)
    assert org["Account"] == hub["company"] == sizes.accounts + sizes.companies - known
    assert org["Contact"] == hub["customer"] + sizes.orphans
    assert document["skipped"]["it has no AccountId"] == sizes.orphans
    # Each pair is compared from both sides.
    assert document["compared"]["pairs"] == 2 * (hub["company"] + hub["customer"])


def test_the_outcomes_are_told_apart(document: dict[str, Any]) -> None:
    sizes = Sizes()
    known = int(sizes.companies * sizes.matching)
    made = sizes.accounts + sizes.companies - 2 * known  # and of the persons those that were not there already
    assert document["created"] > made
    assert document["patched"] > 0
    assert document["unchanged"] > 0
    assert document["conflicts"] > 0


def test_the_first_load_costs_few_calls(document: dict[str, Any]) -> None:
    calls = document["api_calls"]
    assert 0 < document["first_load_write_calls"] <= 25
    assert document["first_load_write_calls"] <= calls["write"] < 100
    assert calls["auth"] > 0
    assert calls["query"] > 0
    assert calls["read"] > 0
