from __future__ import annotations

from random import Random

import pytest

from syncline.simorg.faults import CallKind, Fault, Faults
from syncline.simorg.limits import ApiUsage
from tests.unit.simorg.world import Clock, refused


def test_quota_is_for_any_24_hours(clock: Clock) -> None:
    usage = ApiUsage(3)
    usage.count(clock())
    clock.advance(hours=12)
    usage.count(clock())
    usage.count(clock())
    with refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403):
        usage.count(clock())
    assert usage.header(clock()) == "api-usage=3/3"
    clock.advance(hours=12, minutes=1)
    assert usage.to_json(clock()) == {"DailyApiRequests": {"Max": 3, "Remaining": 1}}
    usage.count(clock())


def test_fault_strikes_the_next_calls_of_its_kinds() -> None:
    faults = Faults(Random(1), [Fault("throttle", next=2, kinds=("write",))])
    kinds: tuple[CallKind, ...] = ("read", "write", "query", "write", "write")
    assert [faults.strike("throttle", kind) is not None for kind in kinds] == [False, True, False, True, False]
    assert faults.strike("hang", "write") is None
    assert faults.struck == {"throttle": 2}


def test_probability_is_kept_and_repeats_with_the_seed() -> None:
    runs = [
        [faults.strike("lock_row", "write") is not None for _ in range(2_000)]
        for faults in (Faults(Random(7), [Fault("lock_row", probability=0.1)]) for _ in range(2))
    ]
    assert runs[0] == runs[1]
    assert 140 < sum(runs[0]) < 260


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"fault": "fire"}, "'fault' must be one of"),
        ({"fault": "hang", "kinds": ["all"]}, "'kinds' must be"),
        ({"fault": "hang", "probability": 2}, "'probability' must be"),
        ({"fault": "hang", "next": -1}, "'next' must be"),
        ({"fault": "hang", "often": True}, "unknown keys"),
        ({"fault": "hang", "seconds": "1"}, "'seconds' must be"),
        ({"fault": "error_json", "status": 200}, "'status' must be"),
    ],
)
def test_bad_rules_are_explained(rule: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault.parse(rule)
