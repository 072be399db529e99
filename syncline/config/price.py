"""What the first run costs in Salesforce's calls, at most; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from syncline.config.model import Config
from syncline.contracts.ref import Object

ROWS_READ = 2_000
"""Rows a call reads at most ("Query", "sObject Collections" in the REST API Developer Guide)."""
ROWS_WRITTEN = 200
"""Rows a call writes, and looks for by a match rule, at most."""


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Of one Salesforce system. read: rows captured there, by object. written: rows that come from elsewhere and may
    all be new, matched: how many match rules there are for them; by pipeline."""

    read: Mapping[Object, int]
    written: Mapping[str, int]
    matched: Mapping[str, int]

    @property
    def calls(self) -> int:
        """What is written is captured again, and looked at before."""
        rows = [*self.read.values(), *self.written.values(), *self.written.values()]
        by_match = sum(ceil(self.written[name] / ROWS_WRITTEN) * rules for name, rules in self.matched.items())
        return (
            sum(ceil(each / ROWS_READ) for each in rows)
            + sum(ceil(each / ROWS_WRITTEN) for each in self.written.values())
            + by_match
        )

    def told(self) -> Iterator[str]:
        yield from (f"{rows:,} rows of {kind} to read" for kind, rows in self.read.items())
        yield from (f"{rows:,} rows to write by {name}" for name, rows in self.written.items())


def first_run(config: Config, system: str, rows: Mapping[Object, int]) -> FirstRun:
    """rows: of each object that was never read, how many its first look-back finds."""
    writing = {
        name: pipeline
        for name, pipeline in config.pipelines.items()
        if pipeline.to.system == system and rows.get(pipeline.from_)
    }
    return FirstRun(
        {kind: count for kind, count in rows.items() if kind.system == system},
        {name: rows[pipeline.from_] for name, pipeline in writing.items()},
        {name: len(pipeline.match) for name, pipeline in writing.items()},
    )
