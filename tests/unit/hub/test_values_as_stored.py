"""Values as the hub stores and shows them, by column type; that PostgreSQL agrees is the integration test's part."""

from __future__ import annotations

import pytest

from syncline.contracts.catalog import FieldInfo
from syncline.contracts.ref import Value
from syncline.hub.tables import Column
from syncline.hub.values import canonical, row_id


def column(declared: str) -> Column:
    return Column(declared.partition("(")[0], declared, FieldInfo(name="x"))


@pytest.mark.parametrize(
    ("declared", "value", "stored"),
    [
        ("text", " Ng ", " Ng "),
        ("text", "", ""),
        ("text", 12.0, "12.0"),
        ("text", True, "true"),
        ("bpchar", "Ng  ", "Ng"),
        ("int4", 12.0, 12),
        ("int4", "12", 12),
        ("int4", 12.5, 12.5),
        ("int8", "many", "many"),
        ("int4", True, True),
        ("int4", " ", None),
        ("numeric(10,2)", 1.005, 1.01),
        ("numeric(10,2)", "-2.125", -2.13),
        ("numeric", 7, 7.0),
        ("float4", 0.1, 0.10000000149011612),
        ("bool", "Yes", True),
        ("bool", 0, False),
        ("bool", "perhaps", "perhaps"),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("date", "2026-11-20T10:00:00.000+0000", "2026-11-20"),
        ("date", "", None),
        ("timestamptz", "2026-11-20T11:00:00.123456+01:00", "2026-11-20T10:00:00.123Z"),
        ("timestamptz", "2026-11-20T10:00:00.000+0000", "2026-11-20T10:00:00.000Z"),
        ("timestamp", "2026-11-20 10:00:00", "2026-11-20T10:00:00.000"),
        ("timestamptz", "soon", "soon"),
        ("numeric", None, None),
    ],
)
def test_canonical(declared: str, value: Value, stored: Value) -> None:
    shown = canonical(column(declared), value)
    assert (shown, type(shown)) == (stored, type(stored))
    assert canonical(column(declared), shown) == shown, "what is stored stays as it is"


@pytest.mark.parametrize(
    ("declared", "text", "shown"),
    [
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("uuid", "0015e00000Ab1CdAAJ", None),
        ("int4", "007", "7"),
        ("int4", "2147483648", None),
        ("int8", "-9223372036854775808", "-9223372036854775808"),
        ("int8", "1;DROP", None),
        ("text", "any/thing", "any/thing"),
    ],
)
def test_an_id_that_the_key_cannot_hold_is_nobody_s(declared: str, text: str, shown: str | None) -> None:
    assert row_id(column(declared), text) == shown
