"""Whatever lies on a foreign topic ends as a change or as a refusal with its reason; nothing else is ever raised."""

from __future__ import annotations

import random
from collections.abc import Callable

import orjson
import pytest

from syncline.contracts.change import Change
from syncline.contracts.errors import RecordRejected
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from tests.unit.foreign.mutations import CLOUDEVENTS, DEBEZIUM, mutated
from tests.unit.foreign.samples import cloudevents, debezium

MUTATIONS = 5_000
"""Of each format."""


def outcome(door: Door, message: Message) -> str:
    try:
        found = read(door, message)
    except RecordRejected as error:
        return "refused" if str(error) and error.code and error.remedy else "refused without a word"
    if found is None:
        assert message.value is None or orjson.loads(message.value)["payload"] is None
        return "tombstone"
    change, event = found
    assert Change.decode(event) == change
    assert change.ref.kind == door.kind
    return "change"


@pytest.mark.parametrize(
    ("samples", "doors"),
    [
        (DEBEZIUM, lambda: [debezium(), debezium(fields=None), debezium(key=("id", "email"))]),
        (
            CLOUDEVENTS,
            lambda: [
                cloudevents(ops={"own": "update", "gone": "delete"}),
                cloudevents(fields=None, key=("name",), ops={"own": "update"}),
            ],
        ),
    ],
    ids=["debezium", "cloudevents"],
)
def test_mutated_events_are_read_or_refused(samples: list[Message], doors: Callable[[], list[Door]]) -> None:
    rng = random.Random(20260131)
    made = doors()
    seen = [outcome(rng.choice(made), mutated(rng.choice(samples), rng)) for _ in range(MUTATIONS)]
    assert set(seen) == {"change", "refused", "tombstone"}
    assert min(map(seen.count, set(seen))) > MUTATIONS / 200
