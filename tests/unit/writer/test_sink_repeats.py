"""Of two writes to one record in a batch, the later waits for the next round."""

from __future__ import annotations

from services.writer.sinks import Write
from services.writer.sinks.repeats import repeats


def test_the_second_write_by_id_or_by_key_waits() -> None:
    writes = [
        Write("1", {}),
        Write(None, {}, ("Hub__c", "1")),
        Write("1", {}),
        Write("2", {}),
        Write(None, {}, ("Hub__c", "1")),
        Write(None, {}, ("Other__c", "1")),
    ]
    assert repeats(writes).keys() == {2, 4}


def test_creates_without_a_key_are_all_different() -> None:
    assert repeats([Write(None, {"a": 1}), Write(None, {"a": 1})]) == {}
