"""Whatever index a statement starts from, it finds what a scan of all rows finds."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.simorg import DEMO, Org, Schema
from syncline.simorg.soql.columns import Columns
from syncline.simorg.soql.filters import Filters
from syncline.simorg.soql.parser import parse
from tests.unit.simorg.world import names

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def filled() -> Org:
    org = Org(Schema.standard(DEMO), clock=lambda: NOW)
    accounts = org.load({"Account": [{"Name": str(number)} for number in range(3)]})["Account"]
    rows = [
        {
            "LastName": f"{number:02}",
            "Email": f"{number % 4}@x.de" if number % 5 else None,
            "AccountId": accounts[number % 3],
            "SystemModstamp": f"2026-11-20T09:00:0{number % 6}Z",
            "deleted": number % 7 == 0,
        }
        for number in range(40)
    ]
    org.load({"Contact": rows})
    return org


ORG = filled()
IDS = [str(record["Id"]) for record in ORG.records("Contact")]
ACCOUNTS = [str(record["Id"]) for record in ORG.records("Account")]

moments = st.integers(0, 6).map(lambda second: f"2026-11-20T09:00:0{second}Z")
operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
comparisons = st.one_of(
    st.builds("SystemModstamp {} {}".format, operators, moments),
    st.builds("Id {} '{}'".format, operators, st.sampled_from(IDS)),
    st.builds("Email = '{}@x.de'".format, st.integers(0, 5)),
    st.builds("Email IN ('{}@x.de', '{}@X.DE')".format, st.integers(0, 3), st.integers(0, 3)),
    st.builds("AccountId = '{}'".format, st.sampled_from(ACCOUNTS)),
    st.sampled_from(["Email = null", "Email IN (null, '1@x.de')", "Account.Name = '1'", "LastName LIKE '%3'"]),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " AND ".join(f"({part})" for part in parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " OR ".join(f"({part})" for part in parts)),
        inner.map("NOT ({})".format),
    ),
    max_leaves=6,
)


def scanned(condition: str, *, include_deleted: bool) -> list[str]:
    """The same, worked out row by row."""
    query = parse(f"SELECT Id FROM Contact WHERE {condition}")
    sobject = ORG.schema.sobject("Contact")
    assert sobject is not None
    assert query.where is not None
    holds = Filters(query.text, Columns(query.text, sobject, ORG.schema, ORG.store), NOW).predicate(query.where)
    rows = [row for row in ORG.records("Contact") if holds(row) and (include_deleted or not row["IsDeleted"])]
    return [str(row["Id"]) for row in sorted(rows, key=lambda row: (str(row["SystemModstamp"]), str(row["Id"])))]


@settings(max_examples=400)
@given(conditions, st.booleans())
def test_plan_finds_what_a_scan_finds(condition: str, include_deleted: bool) -> None:
    soql = f"SELECT Id FROM Contact WHERE {condition} ORDER BY SystemModstamp, Id"
    expected = scanned(condition, include_deleted=include_deleted)
    assert names(ORG, soql, include_deleted=include_deleted) == expected
    unordered = soql.removesuffix(" ORDER BY SystemModstamp, Id")
    assert set(names(ORG, unordered, include_deleted=include_deleted)) == set(expected)
    assert names(ORG, f"{soql} LIMIT 3 OFFSET 1", include_deleted=include_deleted) == expected[1:4]


def test_walk_by_stamp_and_id_sees_every_row_once() -> None:
    seen: list[str] = []
    cursor = ("2026-11-20T09:00:00Z", "000000000000000")
    while True:
        stamp, last = cursor
        rows = ORG.query(
            "SELECT Id, SystemModstamp FROM Contact WHERE (SystemModstamp > "
            f"{stamp} OR (SystemModstamp = {stamp} AND Id > '{last}')) AND SystemModstamp <= 2026-11-20T09:00:04Z "
            "ORDER BY SystemModstamp, Id LIMIT 3"
        ).rows
        if not rows:
            break
        seen += [str(row["Id"]) for row in rows]
        cursor = (str(rows[-1]["SystemModstamp"]).replace(".000+0000", "Z"), str(rows[-1]["Id"]))
    assert sorted(seen) == sorted(set(seen))
    assert set(seen) == set(scanned("SystemModstamp <= 2026-11-20T09:00:04Z", include_deleted=False))
