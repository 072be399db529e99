"""The benchmarks: what --json prints, and that figures of a wrong output are never given."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.join import PEERS
from benchmarks.poller import poller
from benchmarks.scaling import Scaled, Scaling, check, in_the_hub, run
from benchmarks.stage import Bench, opened
from benchmarks.workload import CONTACT
from syncline.contracts.errors import Fatal
from syncline.local.machine import quiet
from syncline.local.system import system
from syncline.runtime.kafka import Message

ROOT = Path(__file__).parents[2]
RECORDS = 50
STAGES = ("poller", "held", "recovery", "writer", "replay")
"""All but `scaling`, which starts eight services in each direction, and `mapper`, which starts a mapper ten times."""
WAVES = {
    "poller": {"first read": 50},
    "writer": {"make companies": 10, "make customers": 20, "patch": 20},
}


@pytest.fixture
async def bench(kafka_address: str, database_url: str, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Bench]:
    prefix = topic_prefix.rstrip(".")
    async with (
        system(tmp_path, kafka_address=kafka_address, database_url=database_url, prefix=prefix) as running,
        opened(running) as bench,
    ):
        yield bench


async def benchmarks(kafka_address: str, database_url: str, *stages: str) -> dict[str, Any]:
    environment = {**os.environ, "SYNCLINE_KAFKA": kafka_address, "SYNCLINE_DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", *stages, "--json", "--records", str(RECORDS)),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_each_stage_is_given_as_a_ratio_to_the_bare_loop(kafka_address: str, database_url: str) -> None:
    stages = await benchmarks(kafka_address, database_url, *STAGES)
    held, recovery, replay = (stages.pop(name) for name in ("held", "recovery", "replay"))
    assert {name: _records(found["waves"]) for name, found in stages.items()} == WAVES
    for found in stages.values():
        rate, bare = found["records_per_second"], found["bare_records_per_second"]
        assert found["records"] == RECORDS
        assert rate == pytest.approx(RECORDS / found["seconds"], rel=0.01)
        assert found["ratio"] == pytest.approx(rate / bare, rel=0.05)  # it is rounded to four places
    assert {name: (held[name]["children"], held[name]["parents"]) for name in ("many", "siblings", "spread")} == {
        "many": (RECORDS, RECORDS // 10),
        "siblings": (RECORDS // 5, 1),
        "spread": (RECORDS // 5, RECORDS // 5),
    }
    assert recovery["entries"] == RECORDS
    assert recovery["ratio"] == pytest.approx(
        recovery["entries_per_second"] / recovery["bare_entries_per_second"], rel=0.1, abs=0.002
    )
    assert (replay["changes"], replay["write_calls"]) == (RECORDS, 0)
    assert replay["ratio"] == pytest.approx(
        replay["changes_per_second"] / replay["bare_read_per_second"], rel=0.1, abs=0.002
    )


@pytest.mark.soak
async def test_the_mapper_is_given_as_ratios_to_its_peers(kafka_address: str, database_url: str) -> None:
    mapper = await benchmarks(kafka_address, database_url, "mapper")
    assert mapper["records"] == RECORDS
    rates = mapper["records_per_second"]
    for peer in PEERS:
        if peer in mapper["missing"]:  # with the reason; Python alone is always there
            assert peer in ("quix", "kafka_streams")
            assert mapper[peer] is None
        else:
            ours = {"join": mapper["beside_peers"][peer], "whole": rates["whole"]}
            for part, rate in ours.items():
                assert mapper[peer][part] == pytest.approx(rate / rates[peer], rel=0.05, abs=0.002)


async def test_two_of_each_are_timed_over_all_records_and_their_processor_time_is_told(bench: Bench) -> None:
    running = bench.system
    two = await run(bench, in_the_hub(running.config, RECORDS), 2, "salesforce")
    assert (two.replicas, two.records) == (2, RECORDS)
    assert 0 < two.seconds < two.within + 1
    assert {"mapper", "writer", "simorg", "bench", "others"} <= two.spent.keys()
    assert all(two.spent[name] > 0 for name in ("mapper", "writer", "bench"))
    one = replace(two, replicas=1, seconds=two.seconds * 1.5)
    found = Scaling({"salesforce": Scaled(RECORDS, (one, two, one))}).document()
    assert found["salesforce"]["ratio"] == 1.5
    more = {change.ref for change in in_the_hub(running.config, RECORDS + 1)}
    with pytest.raises(Fatal, match="not every record has a result"):
        await check(bench, more, "salesforce")


def _records(waves: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {name: wave["records"] for name, wave in waves.items()}


@dataclass
class Forger(Bench):
    """Reads one record of a topic other than it is."""

    forged: str = ""

    async def read(self, *topics: str) -> list[Any]:
        found = await super().read(*topics)
        at = next((at for at, record in enumerate(found) if record.topic == self.forged), None)
        if at is not None:
            found[at] = replace(found[at], value=found[at].value.replace(b"example", b"EXAMPLE"))
        return found


async def test_one_wrong_record_leaves_no_figures(bench: Bench) -> None:
    running = bench.system
    contacts = running.names.changes(CONTACT)
    forger = Forger(running, bench.consumer, forged=contacts)
    with pytest.raises(Fatal, match="1 of the org's 50 records"):
        await poller(forger, RECORDS, quiet)
    assert await bench.bare([contacts]) > 0

    more = f"{running.names.prefix}.results"
    await bench.publish([Message(more, b"key", b"of an example")])
    forger.forged = f"{running.names.prefix}.bare"
    with pytest.raises(Fatal, match="the bare loop"):
        await forger.bare([more])
