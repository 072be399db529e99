"""Children that wait: what holding and releasing them costs, in time and in memory, and whether siblings matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.children import Children, publish
from benchmarks.stage import Bench, Row, Wave
from services.mapper.join import HELD
from syncline.local.machine import Say


@dataclass(frozen=True)
class Scene:
    """hold, release: the mapper as it ships, started over what waits for it; its tables come back before the clock."""

    name: str
    parents: int
    hold: Wave
    release: Wave

    def document(self) -> dict[str, Any]:
        return {
            "children": self.hold.records,
            "parents": self.parents,
            "held_per_second": round(self.hold.rate),
            "released_per_second": round(self.release.rate),
            "release_to_hold": round(self.release.rate / self.hold.rate, 3),
            "peak_mb": {wave.name: wave.peak_mb for wave in (self.hold, self.release)},
        }


@dataclass(frozen=True)
class Holding:
    """`siblings` and `spread` have as many children, the former of one parent, the latter of one each."""

    many: Scene
    siblings: Scene
    spread: Scene

    @property
    def sibling_cost(self) -> float:
        """What a child of the one parent costs, measured by one that has a parent of its own."""
        one, each = ((scene.hold.seconds + scene.release.seconds) for scene in (self.siblings, self.spread))
        return one / each

    def document(self) -> dict[str, Any]:
        scenes = {scene.name: scene.document() for scene in (self.many, self.siblings, self.spread)}
        return {**scenes, "sibling_cost": round(self.sibling_cost, 3)}

    def rows(self) -> Iterator[Row]:
        for scene in (self.many, self.siblings, self.spread):
            yield Row(f"{scene.name}, {scene.parents:,} parents", f"{scene.hold.records:,}", "")
            yield Row("  hold", f"{scene.hold.peak_mb} MB", f"{scene.hold.rate:,.0f}")
            ratio = scene.release.rate / scene.hold.rate
            yield Row("  release", f"{scene.release.peak_mb} MB", f"{scene.release.rate:,.0f}", f"{ratio:.2f}")
        yield Row("cost of a sibling", "", "", f"{self.sibling_cost:.2f}")


async def held(bench: Bench, records: int, say: Say) -> Holding:
    """`records` children of a tenth as many parents; then two scenes of a fifth as many."""
    few = records // 5
    spread = await _scene(bench, "spread", few, few, say)
    siblings = await _scene(bench, "siblings", few, 1, say)
    return Holding(await _scene(bench, "many", records, records // 10, say), siblings, spread)


async def _scene(bench: Bench, name: str, count: int, parents: int, say: Say) -> Scene:
    say(f"  {name}: {count:,} children of {parents:,}")
    children, names = Children(bench, name), bench.system.names
    commands, changelog = names.commands("hub"), names.changelog(HELD)
    before = await bench.ends([commands, changelog])
    await publish(bench, children.mapped(count, parents))
    # One row for each child, and one for each parent.
    hold = await bench.wave("hold", count, "mapper", "serving", {changelog: before[changelog] + count + parents})
    await publish(bench, children.synced(parents))
    release = await bench.wave("release", count, "mapper", "serving", {commands: before[commands] + count})
    return Scene(name, parents, hold, release)
