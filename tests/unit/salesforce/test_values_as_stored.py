"""Values as Salesforce stores them: what `canonical` says is what a read will show."""

from __future__ import annotations

import pytest

from syncline.contracts.ref import Value
from syncline.salesforce.values import canonical, fold, literal


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("string", " \t Ng \r\n", "Ng"),
        ("string", "\u00a0Ng\u00a0", "\u00a0Ng\u00a0"),
        ("string", "", None),
        ("textarea", " \n ", None),
        ("string", None, None),
        ("string", 12, "12"),
        ("string", 12.5, "12.5"),
        ("string", False, "false"),
        ("boolean", None, False),
        ("boolean", " ", False),
        ("boolean", "true", True),
        ("boolean", 0, False),
        ("int", 12.0, 12),
        ("int", " 12 ", 12),
        ("double", "12.50", 12.5),
        ("currency", 1, 1),
        ("double", "many", "many"),
        ("double", "", None),
        ("date", "2026-11-20", "2026-11-20"),
        ("datetime", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000+0000"),
        ("datetime", "2026-11-20T11:00:00.999+01:00", "2026-11-20T10:00:00.000+0000"),
        ("datetime", "2026-11-20T10:00:00.000+0000", "2026-11-20T10:00:00.000+0000"),
        ("datetime", "soon", "soon"),
        ("datetime", "2026-11-20T10:00:00", "2026-11-20T10:00:00"),
    ],
)
def test_canonical(kind: str, value: Value, stored: Value) -> None:
    shown = canonical(kind, value)
    assert (shown, type(shown)) == (stored, type(stored))
    assert canonical(kind, shown) == shown, "what is stored stays as it is"


def test_text_is_compared_without_regard_to_case_and_blanks() -> None:
    assert fold("email", " Ng@Example.com") == fold("email", "nG@example.COM ")
    assert fold("double", "12") == fold("double", 12.0)


@pytest.mark.parametrize(
    ("kind", "value"), [("date", "soon"), ("datetime", "soon"), ("double", "many"), ("boolean", "perhaps")]
)
def test_what_a_field_cannot_hold_is_no_literal(kind: str, value: Value) -> None:
    with pytest.raises(ValueError, match=r"soon|many|perhaps"):
        literal(kind, value)
