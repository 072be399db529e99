"""What a release writes between its stages, for a few changes: everything on private topics and in the mapper's tables.

`python -m tests.unit.releases.flow > tests/unit/releases/released/flow.json`, at a release.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from services.mapper.engine import Effects, Input
from services.mapper.join import Join
from services.mapper.records import Records
from syncline.contracts.change import Change
from syncline.contracts.ref import Ref
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from tests.unit.mapper.test_join import Tables, account, config, contact

NAMES = Names("t")
CONFIG = config(on_delete="delete", delete_limit=5, conflict="latest")
MADE = Ref("hub", "company", "company-a")

Pair = tuple[str, str]
"""A key and a value, as text."""
Flow = dict[str, list[Pair]]
"""By topic or table."""


def changes() -> list[Pair]:
    """A child whose parent is known later, one whose parent never comes, a hierarchy, a move, a deletion, a delta of a
    record that was never seen, and what no one can read."""
    told: list[Change] = [
        account("A"),
        account("B", parent="A"),
        contact("c1", "A", Email=" Ada@Mail.Example "),
        contact("c2", "Z"),
        contact("c3", "A"),
        contact("c3", "B", 2),
        contact("c4", "A"),
        replace(contact("c4", "A", 2), op="delete"),
        replace(contact("c5", "A"), complete=False),
    ]
    return [*((each.ref.id, each.encode().decode()) for each in told), ("c6", "{")]


def result() -> Result:
    return Result(pipeline="accounts", outcome="written", source=account("A").ref, target=MADE, version="1")


class Stages:
    """Both hops over one partition; `said` is everything that they say."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.records, self.join = Records(CONFIG, NAMES), Join(NAMES)
        self.said: defaultdict[str, list[Pair]] = defaultdict(list)

    def take(self, hop: Any, topic: str, pairs: Sequence[Pair]) -> None:
        for number, (key, value) in enumerate(pairs):
            effects: Effects = hop.run([Input(topic, 0, number, key.encode(), value.encode(), 1000)], self.tables)
            self.tables.apply(effects.changes)
            for output in effects.outputs:
                said = output.value if isinstance(output.value, bytes) else output.value.encode()
                self.said[output.topic].append((output.key.decode(), said.decode()))

    def rows(self, table: str) -> list[Pair]:
        return [(key.decode(), value.decode()) for key, value in sorted(self.tables.rows[table].items())]


def flow() -> Flow:
    stages = Stages(Tables())
    stages.take(stages.records, "t.changes.sf.Contact", changes())
    found: Flow = {"changes": changes(), "records": stages.rows("records"), "mapped": [*stages.said[NAMES.mapped]]}
    stages.take(stages.join, NAMES.mapped, found["mapped"])
    found["held"] = stages.rows("held")
    found["results"] = [(key.decode(), result().encode().decode()) for key in result().message_keys()]
    stages.take(stages.join, NAMES.results, found["results"])
    found["synced"] = stages.rows("synced")
    for topic in (NAMES.requests, NAMES.dead_letters, NAMES.commands("hub")):
        found[topic.removeprefix("t.")] = stages.said[topic]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(flow(), indent=1) + "\n")
