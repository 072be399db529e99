"""Results and holds are counted in bounded memory, and each once."""

from __future__ import annotations

import pytest

from syncline.oncall import report
from syncline.oncall.report import OTHERS, Report
from syncline.oncall.status import Holding
from tests.unit.timeline.world import (
    CONTACT,
    CUSTOMER,
    NAMES,
    Message,
    after,
    held_row,
    mapped,
    message,
    result,
    tombstone,
)


def under(key: str, value: bytes, at: int = 0) -> Message:
    return message(NAMES.results, key, value, at=at)


def test_a_result_counts_under_its_sources_key_alone() -> None:
    made = result()
    counted = Report()
    counted.add(under(key.decode(), made.encode(), at) for at, key in enumerate(made.message_keys()))
    assert counted.outcomes == {("contact-to-customer", "written"): 1}
    assert (counted.first, counted.last) == (after(0), after(0))


def test_first_and_last_are_told_whatever_order_partitions_come_in() -> None:
    counted = Report()
    counted.add(under(str(CONTACT), result().encode(), at) for at in (5000, 1000, 9000))
    assert (counted.first, counted.last) == (after(1), after(9))


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        ("rejected", "STRING_TOO_LONG: 91 of 80: Lund", "STRING_TOO_LONG"),
        ("skipped", f"{CUSTOMER} was deleted and is not made again", "the record was deleted and is not made again"),
        ("unchanged", "the ratio is 1:2", "the ratio is 1:2"),
    ],
)
def test_reasons_are_told_without_what_is_each_records_own(outcome: str, reason: str, told: str) -> None:
    counted = Report()
    counted.add([under(str(CONTACT), result(outcome=outcome, reason=reason).encode())])
    assert list(counted.reasons) == [("contact-to-customer", outcome, told)]


def test_more_reasons_than_can_be_told_apart_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "KINDS", 3)
    counted = Report()
    counted.add(under(str(CONTACT), result(outcome="skipped", reason=f"why {n % 10}").encode()) for n in range(40))
    assert counted.reasons.total() == 40
    assert len(counted.reasons) == 4
    assert counted.reasons["contact-to-customer", "skipped", OTHERS] == 28


def test_holds_are_counted_from_their_first_row_without_a_break() -> None:
    other = mapped(CONTACT._replace(id="other"))
    counted = Holding()
    counted.add([held_row(mapped(), at=1000), held_row(other, at=2000), held_row(mapped(version="v2"), at=9000)])
    counted.add([message(NAMES.changelog("held"), b"salesforce/Account/1>hub/company\0", b"{}")])
    counted.add([message(NAMES.changelog("held"), b"foreign\0row", b"{}")])
    assert (counted.waiting.count, counted.waiting.since) == (2, after(1.005))
    counted.add([tombstone(mapped(), at=9500)])
    assert (counted.waiting.count, counted.waiting.since) == (1, after(2.005))
    counted.add([held_row(mapped(), at=10_000), tombstone(other, at=10_000)])
    assert (counted.waiting.count, counted.waiting.since) == (1, after(10.005))
