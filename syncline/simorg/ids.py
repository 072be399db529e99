"""Salesforce record ids: 15 case-sensitive characters, or 18 with a suffix that makes them safe to compare in any case.

Rules: "Field Types" (ID Field Type) in Salesforce's Object Reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")
_POD = "5e0"
"""The three characters after the key prefix: the instance that issued the id, and one reserved."""


def suffix(id15: str) -> str:
    """The three check characters: one bit for each capital letter, five bits to a character."""
    return "".join(
        _SUFFIX[sum(1 << bit for bit, letter in enumerate(id15[at : at + 5]) if "A" <= letter <= "Z")]
        for at in (0, 5, 10)
    )


def canonical(text: str) -> str | None:
    """The 18-character form of a well-formed id; None for anything else, a wrong suffix included."""
    if not _SHAPE.fullmatch(text):
        return None
    if len(text) == 15:
        return text + suffix(text)
    return text if text[15:] == suffix(text[:15]) else None


def sequence(prefix: str) -> Iterator[str]:
    """Ids of one object in the order in which an org would issue them; they sort as they were issued."""
    number = 0
    while True:
        number += 1
        digits, rest = [], number
        for _ in range(9):
            rest, digit = divmod(rest, 62)
            digits.append(DIGITS[digit])
        id15 = prefix + _POD + "".join(reversed(digits))
        yield id15 + suffix(id15)
