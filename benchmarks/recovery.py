"""A worker with an empty disk reads its changelog back; beside it a loop that reads the same records and drops them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Children, publish
from benchmarks.stage import Bench, Row, field_of, require
from services.mapper.join import HELD
from syncline.local.machine import Say
from syncline.local.processes import Child

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Recovery:
    entries: int
    seconds: float
    bare_seconds: float

    def document(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "entries_per_second": round(self.entries / self.seconds),
            "bare_entries_per_second": round(self.entries / self.bare_seconds),
            "ratio": round(self.bare_seconds / self.seconds, 3),
        }

    def rows(self) -> Iterator[Row]:
        rate, ratio = self.entries / self.seconds, self.bare_seconds / self.seconds
        yield Row("recovery", f"{self.entries:,}", f"{rate:,.0f}", f"{ratio:.2f}")
        yield Row("  bare reading", "", f"{self.entries / self.bare_seconds:,.0f}")


async def recovery(bench: Bench, records: int, say: Say) -> Recovery:
    """`records` entries of the table `held`, a sixth of them for the parents."""
    parents = records // 6
    count = records - parents
    changelog = bench.system.names.changelog(HELD)
    await publish(bench, Children(bench, "recovery").mapped(count, parents))
    await bench.wave("hold", count, "mapper", "serving", {changelog: records})
    say("  reading them back")
    again = await bench.system.start("mapper", log_format="json", log_level="info")
    try:
        restored, seconds = await field_of(again, "serving", "restored", "seconds")
    finally:
        await again.stop()
    require(restored == records, f"{restored} of {records} entries came back")
    reader = Child(
        "reader",
        [sys.executable, "-m", "benchmarks.reader", bench.kafka, changelog, str(bench.system.partitions), str(records)],
        bench.system.folder / "logs",
        cwd=ROOT,
    )
    await reader.start()
    if code := await reader.wait():
        raise reader.fault(f"failed with exit code {code}")
    return Recovery(records, seconds, json.loads(reader.log_since_start().splitlines()[-1]))
