"""Indexes always agree with a scan, and a rollback restores exactly what was."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.simorg import DEMO, Schema
from syncline.simorg.store import Record, Store, Table

SCHEMA = Schema.standard(DEMO)
CONTACT = SCHEMA.sobject("Contact")
assert CONTACT is not None
EMAIL, ACCOUNT = CONTACT.field("Email"), CONTACT.field("AccountId")
assert EMAIL is not None
assert ACCOUNT is not None

records = st.builds(
    lambda number, second, email, account, deleted: {
        "Id": f"003{number:015}",
        "SystemModstamp": f"2026-11-20T10:00:{second:02}.000+0000",
        "IsDeleted": deleted,
        **({"Email": email} if email else {}),
        **({"AccountId": account} if account else {}),
    },
    st.integers(0, 8),
    st.integers(0, 3),
    st.sampled_from(["", "a@x.de", "A@X.de", "b@x.de"]),
    st.sampled_from(["", "001000000000000001", "001000000000000002"]),
    st.booleans(),
)
steps = st.lists(st.tuples(st.sampled_from(["keep", "roll back", "nested"]), st.lists(records, max_size=4)))


class Interruption(Exception):
    pass


def scan(table: Table) -> dict[str, Any]:
    """What the indexes should say, worked out without them."""
    rows = list(table.all())
    by_email: dict[str, list[str]] = {}
    for row in rows:
        if "Email" in row:
            by_email.setdefault(str(row["Email"]).lower(), []).append(str(row["Id"]))
    return {
        "emails": {email: sorted(ids) for email, ids in by_email.items()},
        "stamps": sorted((str(row["SystemModstamp"]), str(row["Id"])) for row in rows),
        "alive": sorted(str(row["Id"]) for row in rows if not row["IsDeleted"]),
    }


def indexed(table: Table) -> dict[str, Any]:
    assert EMAIL is not None
    found = {email: list(table.find(EMAIL, email)) for email in ("a@x.de", "b@x.de")}
    return {
        "emails": {email: ids for email, ids in found.items() if ids},
        "stamps": [(str(row["SystemModstamp"]), str(row["Id"])) for row in table.by_stamp()],
        "alive": sorted(str(row["Id"]) for row in table.all() if table.alive(str(row["Id"])) is not None),
    }


@settings(max_examples=200)
@given(steps, st.booleans())
def test_indexes_agree_with_a_scan_after_any_transactions(script: list[tuple[str, list[Record]]], early: bool) -> None:
    store = Store(SCHEMA)
    table = store.table("Contact")
    if early:
        indexed(table)  # indexes exist from the start, or are built at the end
    for outcome, rows in script:
        before = {str(row["Id"]): row for row in table.all()}
        try:
            with store.transaction():
                for row in rows:
                    if outcome == "nested":
                        put_in_vain(store, row)
                    else:
                        table.put(row)
                if outcome == "roll back":
                    raise Interruption
        except Interruption:
            pass
        if outcome != "keep":
            assert {str(row["Id"]): row for row in table.all()} == before
        if early:
            assert indexed(table) == scan(table)
    assert indexed(table) == scan(table)


def put_in_vain(store: Store, row: Record) -> None:
    try:
        with store.transaction():
            store.table("Contact").put(row)
            raise Interruption
    except Interruption:
        pass


def test_stamp_range_is_half_open_and_sorted_by_stamp_then_id() -> None:
    table = Store(SCHEMA).table("Contact")
    for number, second in ((3, 1), (1, 2), (2, 1), (4, 0)):
        table.put({"Id": f"003{number}", "SystemModstamp": f"2026-11-20T10:00:0{second}.000+0000", "IsDeleted": False})
    low, high = "2026-11-20T10:00:01.000+0000", "2026-11-20T10:00:02.000+0000"
    assert [row["Id"] for row in table.by_stamp(low, high)] == ["0032", "0033"]
    assert [row["Id"] for row in table.by_stamp()] == ["0034", "0032", "0033", "0031"]


def test_load_into_a_full_table_keeps_its_indexes_true() -> None:
    assert ACCOUNT is not None
    store = Store(SCHEMA)
    table = store.table("Contact")
    for batch in range(4):
        rows: list[Record] = [
            {
                "Id": f"003{batch:03}{number:09}",
                "SystemModstamp": f"2026-11-20T10:0{batch}:{number:02}.000+0000",
                "IsDeleted": False,
                "AccountId": f"001{number % 3}",
            }
            for number in range(10)
        ]
        table.put_many(rows)
        assert len(table.find(ACCOUNT, "0011")) == 3 * (batch + 1)
        assert len(list(table.by_stamp())) == 10 * (batch + 1)
