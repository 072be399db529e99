"""The demo's data hold every situation that the demo is about, in numbers that are told, and are always the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncline.local.demo.data import Data, Row, Sizes, id18, make
from syncline.simorg.ids import canonical
from tests.unit.config.catalogs import SHIPPED

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIZES = Sizes()


def made(sizes: Sizes = SIZES, *, seed: int = 7) -> Data:
    return make(sizes, rng=random.Random(seed), now=NOW)


@pytest.fixture(scope="module")
def data() -> Data:
    return made()


@pytest.fixture(scope="module")
def accounts(data: Data) -> dict[str, Row]:
    return {row["Id"]: row for row in data.org["Account"]}


def of(rows: Iterable[Row], field: str) -> list[Any]:
    return [row[field] for row in rows]


def stamp(row: Row) -> datetime:
    return datetime.fromisoformat(row["SystemModstamp"])


def test_there_are_as_many_as_was_asked_for() -> None:
    sizes = Sizes(accounts=40, contacts=100, orphans=5, companies=30, customers=60, matching=0.5)
    few = made(sizes)
    assert {name: len(rows) for name, rows in few.org.items()} == {"Account": 40, "Contact": 105}
    assert (len(few.hub["companies"]), len(few.hub["customers"])) == (30, 60)
    assert sum(row["AccountId"] is None for row in few.org["Contact"]) == 5


def test_the_same_seed_makes_the_same_and_another_does_not() -> None:
    assert made() == made()
    assert made(seed=8) != made()


def test_ids_are_told_apart_and_are_what_salesforce_gives(data: Data) -> None:
    for rows in (*data.org.values(), *data.hub.values()):
        ids = [row.get("Id") or row["id"] for row in rows]
        assert len(set(ids)) == len(ids)
    for row in (*data.org["Account"], *data.org["Contact"]):
        assert row["Id"] == canonical(row["Id"][:15])
    assert id18("001", 5) == canonical("0015e0000000005")


def test_every_field_is_one_of_its_object(data: Data) -> None:
    for name, rows in data.org.items():
        assert {field for row in rows for field in row} <= {*SHIPPED[next(k for k in SHIPPED if k.name == name)]}


def test_parents_exist(data: Data, accounts: dict[str, Row]) -> None:
    assert {*of(data.org["Contact"], "AccountId")} <= {*accounts, None}
    assert {*of(data.hub["customers"], "company_id")} <= {*of(data.hub["companies"], "id")}
    owners = {*of(data.hub["companies"], "id"), *of(data.hub["customers"], "id")}
    assert all((row["company_id"] or row["customer_id"]) in owners for row in data.hub["addresses"])


def test_nothing_changed_in_the_future(data: Data) -> None:
    assert all(stamp(row) < NOW for rows in data.org.values() for row in rows)


def test_some_accounts_are_older_than_the_first_look_back_and_their_contacts_are_not(
    data: Data, accounts: dict[str, Row]
) -> None:
    look_back = NOW - timedelta(days=7)
    old = {id for id, row in accounts.items() if stamp(row) < look_back}
    assert len(old) == SIZES.accounts // 8
    assert {row["AccountId"] for row in data.org["Contact"] if stamp(row) > look_back} >= old


def test_many_a_contact_changed_before_its_account(data: Data, accounts: dict[str, Row]) -> None:
    earlier = [
        row for row in data.org["Contact"] if row["AccountId"] and stamp(row) < stamp(accounts[row["AccountId"]])
    ]
    assert len(earlier) > SIZES.contacts / 4


def test_some_accounts_stand_in_chains_and_some_in_circles(accounts: dict[str, Row]) -> None:
    def up(id: str) -> list[str]:
        way: list[str] = []
        while id not in way:
            way.append(id)
            if not (parent := accounts[id].get("ParentId")):
                return way
            id = parent
        return [*way, id]

    ways = [up(id) for id in accounts]
    circles = {frozenset(way[:-1]) for way in ways if len(way) > 1 and way[-1] == way[0]}
    assert len(circles) >= 10
    assert {len(circle) for circle in circles} == {3}
    assert sum(len(way) == 3 and len(set(way)) == 3 for way in ways) >= 10


def test_fields_are_empty_on_one_side_here_and_filled_there(data: Data) -> None:
    for rows, fields in (
        (data.org["Account"], ["Phone", "Website", "Description", "Tier__c"]),
        (data.org["Contact"], ["FirstName", "Phone", "Title", "Segment__c"]),
        (data.hub["companies"], ["phone", "website", "fax", "tier"]),
        (data.hub["customers"], ["first_name", "phone", "title", "segment"]),
    ):
        for field in fields:
            empty = sum(row[field] is None for row in rows)
            assert 0 < empty < len(rows), field


def test_some_companies_are_accounts_already_with_customers_who_are_their_contacts(
    data: Data, accounts: dict[str, Row]
) -> None:
    numbers = {row["AccountNumber"]: row for row in accounts.values()}
    known = [row for row in data.hub["companies"] if row["account_number"] in numbers]
    assert len(known) == SIZES.companies * SIZES.matching
    for company in known:
        account = numbers[company["account_number"]]
        mails = {row["Email"] for row in data.org["Contact"] if row["AccountId"] == account["Id"]}
        theirs = [row for row in data.hub["customers"] if row["company_id"] == company["id"]]
        assert theirs
        assert all(row["email"].lower() in mails for row in theirs)
        assert all(row["email"] not in mails for row in theirs), "the case differs, and is no difference"
        assert company["name"] != account["Name"]


def test_nobody_else_could_be_taken_for_another(data: Data) -> None:
    """A match must find one record."""
    for rows, field in (
        (data.org["Account"], "AccountNumber"),
        (data.org["Contact"], "Email"),
        (data.hub["companies"], "account_number"),
        (data.hub["customers"], "email"),
    ):
        assert max(Counter(value.lower() for value in of(rows, field)).values()) == 1, field


def test_each_record_has_its_primary_addresses_and_some_have_one_that_must_not_be_synced(data: Data) -> None:
    rows = data.hub["addresses"]
    primary = Counter((row["company_id"] is not None, row["kind"]) for row in rows if row["is_primary"])
    assert primary == {
        (True, "billing"): SIZES.companies,
        (True, "shipping"): SIZES.companies,
        (False, "shipping"): SIZES.customers,
    }
    assert all((row["company_id"] is None) != (row["customer_id"] is None) for row in rows)
    assert 0 < sum(not row["is_primary"] for row in rows) < len(rows) / 3


def test_sizes_may_be_none() -> None:
    nothing = made(replace(SIZES, accounts=0, contacts=0, orphans=0, companies=0, customers=0))
    assert [len(rows) for rows in (*nothing.org.values(), *nothing.hub.values())] == [0] * 5
