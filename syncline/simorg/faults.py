"""Faults that the org makes on purpose: what a client must survive.

Each rule strikes with a probability, or for the next n calls, and can be kept to some kinds of calls. The dice are
given (a seeded `random.Random`), so a run can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal, get_args

FaultName = Literal[
    "error_html",  # an HTML error page in place of the answer; nothing was done
    "error_json",  # the same as SERVER_UNAVAILABLE in JSON
    "throttle",  # 403 REQUEST_LIMIT_EXCEEDED, the concurrent flavour; nothing was done
    "expire_session",  # the session ends before the call: 401 INVALID_SESSION_ID
    "hang",  # no answer for `seconds`, then the connection is dropped; nothing was done
    "drop_after",  # the connection is dropped after the work was done
    "lock_request",  # UNABLE_TO_LOCK_ROW for a whole write; nothing was done
    "lock_row",  # UNABLE_TO_LOCK_ROW for one row of a write
]
CallKind = Literal["auth", "query", "read", "write"]
FAULTS: tuple[str, ...] = get_args(FaultName)
KINDS: tuple[str, ...] = get_args(CallKind)


@dataclass(slots=True)
class Fault:
    """One rule. `probability` is 0 to 1; `next` counts down; `kinds` empty means every kind of call."""

    fault: FaultName
    probability: float = 0.0
    next: int = 0
    kinds: tuple[CallKind, ...] = ()
    status: int = 0
    """HTTP status where Salesforce is known to vary; 0 = 503 for errors, 400 for locks."""
    seconds: float = 60.0
    """How long `hang` keeps the caller waiting."""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Fault:
        """Raises ValueError that says what is wrong with a rule that came over the control endpoint."""
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)}; known are {sorted(cls.__dataclass_fields__)}")
        if data.get("fault") not in FAULTS:
            raise ValueError(f"'fault' must be one of {', '.join(FAULTS)}")
        kinds = tuple(data.get("kinds", ()))
        if not set(kinds) <= set(KINDS):
            raise ValueError(f"'kinds' must be a list of {', '.join(KINDS)}")
        probability = data.get("probability", 0.0)
        if not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError("'probability' must be a number from 0 to 1")
        count = data.get("next", 0)
        if not isinstance(count, int) or count < 0:
            raise ValueError("'next' must be a whole number of calls, 0 or more")
        status, seconds = data.get("status", 0), data.get("seconds", 60.0)
        if not isinstance(status, int) or (status and not 400 <= status <= 599):
            raise ValueError("'status' must be an HTTP status from 400 to 599")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError("'seconds' must be a number, 0 or more")
        return cls(**{**data, "kinds": kinds})


class Faults:
    """All rules of an org, and how often each fault has struck."""

    def __init__(self, dice: Random, rules: Iterable[Fault] = ()) -> None:
        self._dice = dice
        self.rules = list(rules)
        self.struck: Counter[str] = Counter()

    def strike(self, fault: FaultName, kind: CallKind) -> Fault | None:
        """The rule that makes this call (or row) fail, None when it is spared."""
        for rule in self.rules:
            if rule.fault == fault and (not rule.kinds or kind in rule.kinds) and self._hits(rule):
                self.struck[fault] += 1
                return rule
        return None

    def _hits(self, rule: Fault) -> bool:
        if rule.next > 0:
            rule.next -= 1
            return True
        return rule.probability > 0 and self._dice.random() < rule.probability

    def to_json(self) -> dict[str, Any]:
        return {"faults": [asdict(rule) for rule in self.rules], "struck": dict(self.struck)}
