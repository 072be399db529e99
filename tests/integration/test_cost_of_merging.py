"""What it costs to look before writing: one read call for 2,000 rows, whatever is found."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.writer.loop import Writer
from syncline.contracts.command import Command
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.contracts.topics import Names
from syncline.runtime.kafka import Message
from syncline.state.links import Links
from tests.contract.sink_worlds import salesforce_world
from tests.integration.test_links import pool, url
from tests.unit.writer.world import Fetched, MemoryConflicts, MemoryDeletions

__all__ = ["pool", "url"]

CONTACT = Object("salesforce", "Contact")
ROWS = 4_000


class Nowhere:
    async def publish(self, messages: Iterable[Message]) -> None:
        del messages


def customer(place: int) -> Ref:
    return Ref("hub", "customer", str(place))


def rename(place: int) -> Command:
    return Command(
        pipeline="customer-to-contact",
        op="upsert",
        source=customer(place),
        version="2",
        time="2026-01-01T00:00:00Z",
        target=CONTACT,
        fields={"Phone": f"new {place}"},
        seen={"phone": f"new {place}"},
        inputs={"Phone": ["phone"]},
        conflict={"*": "hub"},
    )


@pytest.mark.parametrize("contested", [0, ROWS // 2])
async def test_looking_before_writing_takes_a_call_for_two_thousand_rows(pool: Any, contested: int) -> None:
    async with salesforce_world() as world:
        rows = [{"LastName": f"Ng {n}", "Phone": "typed" if n < contested else "old"} for n in range(ROWS)]
        links, conflicts = Links(pool), MemoryConflicts()
        pairs = [
            Link(Side(customer(place), "1", {"phone": "old"}), Side(Ref(*CONTACT, id), "", {"Phone": "old"}))
            for place, id in enumerate(world.org.load({"Contact": rows})["Contact"])
        ]
        assert all(await links.save(pairs))
        writer = Writer(
            sinks={"salesforce": world.sink},
            links=links,
            conflicts=conflicts,
            deletions=MemoryDeletions(),
            publisher=Nowhere(),
            names=Names("t"),
            reject_limit=10,
            now=lambda: datetime.now(UTC),
        )
        before = world.org.stats.calls.copy()
        await writer.handle([Fetched(rename(place).encode()) for place in range(ROWS)])
        calls = world.org.stats.calls - before
        assert calls == {"read": ROWS // 2_000, "write": ROWS // 200}
        assert world.org.stats.rows["updated"] == ROWS
        assert len(conflicts.rows) == contested
