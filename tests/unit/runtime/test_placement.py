"""Which rows lie where their keys tell, and who sends nothing to partitions that somebody added."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from services.mapper.mapped import Head, Wait
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Ref
from syncline.contracts.tables import HOMES, waited_for
from syncline.contracts.topics import MAPPER_TABLES
from syncline.runtime.kafka import Message, Publisher, partition_of
from syncline.runtime.placement import Misplaced, in_place


class Row(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


WAIT = Wait("sf/Account/a/b>c", "hub/company", "company_id")
HELD = Head("sf/Contact/1", "contacts", "v1", "hub", "sf/Account/a/b>c", (WAIT,))


def test_a_row_goes_by_the_key_of_the_messages_that_it_is_made_of() -> None:
    assert {*HOMES} == {*MAPPER_TABLES}
    assert HOMES["records"](str(Ref("sf", "Account", "a/b>c")).encode()) == b"a/b>c"
    assert HOMES["synced"](WAIT.synced) == HOMES["held"](HELD.slot) == HOMES["held"](WAIT.held) == HELD.key
    assert waited_for(HELD.slot) == waited_for(WAIT.held) == WAIT.synced


def test_what_lies_wrong_is_found_as_it_is_now() -> None:
    home = HOMES["records"]
    keys = [f"sf/Account/{n}".encode() for n in range(40)]
    rows = [Row(partition_of(home(key), 4), n, key, b"x") for n, key in enumerate(keys)]
    wrong = Misplaced(home, 6)
    for row in rows:
        wrong.add(row.partition, [row])
    moving = {key for key in keys if partition_of(home(key), 4) != partition_of(home(key), 6)}
    assert {key for found in wrong.rows.values() for key in found} == moving
    assert 10 < wrong.total == len(moving) < 40
    assert {row.key for row in rows if not in_place(home, 6)(row)} == moving
    gone = next(row for row in rows if row.key in moving)
    wrong.add(gone.partition, [gone._replace(value=None, offset=99), Row(0, 100, None, b"no key")])
    assert wrong.total == len(moving) - 1


class Producer:
    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}


async def test_nothing_is_sent_to_a_topic_of_another_count() -> None:
    producer: Any = Producer()
    with pytest.raises(Fatal, match="topic t has 3 partitions where SYNCLINE_PARTITIONS says 2: stop all services"):
        await Publisher(producer, 2).publish([Message("t", b"k", b"v")])
