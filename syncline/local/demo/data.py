"""What the two systems hold before they have met; made up, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from syncline.simorg.ids import suffix

Row = dict[str, Any]

STREETS = ["Mill Lane", "Harbour Street", "Station Road", "Park Avenue", "Church Hill", "Quay", "Orchard Way"]
CITIES = [("Leeds", "Yorkshire", "LS1 4AP"), ("Bern", "BE", "3011"), ("Austin", "TX", "73301"), ("Oslo", "", "0150")]
FIRST = ["Ada", "Bo", "Carla", "Dai", "Emre", "Fumi", "Grace", "Hana", "Ivo", "Jun", "Kofi", "Lena"]
LAST = ["Abebe", "Brandt", "Chen", "Diaz", "Eriksen", "Fofana", "Garcia", "Haas", "Ito", "Jansen", "Kaya", "Lund"]
TIERS = ["gold", "silver", "bronze", None]


@dataclass(frozen=True)
class Sizes:
    accounts: int = 320
    contacts: int = 2_100
    orphans: int = 30
    """Contacts without Account, beside the others."""
    companies: int = 200
    customers: int = 1_000
    matching: float = 0.1
    """Share of the companies that an Account already is, with all their customers."""


@dataclass(frozen=True)
class Data:
    """org: rows by object, for the simulated org's loader. hub: rows by table."""

    org: Mapping[str, list[Row]]
    hub: Mapping[str, list[Row]]


def make(sizes: Sizes, *, rng: random.Random, now: datetime) -> Data:
    """Older Accounts lie outside the first look-back and are asked for by their Contacts; many a Contact changed
    before its Account did; some Accounts are each other's parents in a circle; some fields are empty on one side."""
    maker = _Maker(rng, now)
    accounts = [maker.account(n, old=n % 8 == 0) for n in range(sizes.accounts)]
    for n in range(0, sizes.accounts - 3, 9):  # chains, and every other one closed to a circle of three
        accounts[n + 1]["ParentId"], accounts[n + 2]["ParentId"] = accounts[n]["Id"], accounts[n + 1]["Id"]
        if n % 2:
            accounts[n]["ParentId"] = accounts[n + 2]["Id"]
    contacts = [
        maker.contact(n, accounts[n % sizes.accounts]["Id"] if n < sizes.contacts else None)
        for n in range(sizes.contacts + sizes.orphans)
    ]
    companies = [maker.company(n) for n in range(sizes.companies)]
    customers = [maker.customer(n, companies[n % sizes.companies]["id"]) for n in range(sizes.customers)]
    known = int(sizes.companies * sizes.matching)
    for n in range(known):
        companies[n]["account_number"] = accounts[n]["AccountNumber"]
        companies[n]["name"] = accounts[n]["Name"].upper()
        theirs = [row for row in contacts if row["AccountId"] == accounts[n]["Id"]]
        ours = [row for row in customers if row["company_id"] == companies[n]["id"]]
        for customer, contact in zip(ours, theirs, strict=False):
            customer["email"] = str(contact["Email"]).upper()
    addresses = [
        address
        for owner, rows in (("company_id", companies), ("customer_id", customers))
        for row in rows
        for address in maker.addresses(owner, row["id"])
    ]
    return Data(
        {"Account": accounts, "Contact": contacts},
        {"companies": companies, "customers": customers, "addresses": addresses},
    )


class _Maker:
    def __init__(self, rng: random.Random, now: datetime) -> None:
        self._rng = rng
        self._now = now

    def _stamp(self, *, days: float) -> str:
        at = self._now - timedelta(days=days, seconds=self._rng.randint(60, 86_400))
        return at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def _maybe(self, value: str, share: float = 0.7) -> str | None:
        return value if self._rng.random() < share else None

    def _uuid(self) -> UUID:
        return UUID(int=self._rng.getrandbits(128))

    def _phone(self) -> str | None:
        return self._maybe(f"+44 20 {self._rng.randint(10_000_000, 99_999_999)}")

    def _place(self, prefix: str) -> Row:
        city, state, code = self._rng.choice(CITIES)
        street = f"{self._rng.randint(1, 200)} {self._rng.choice(STREETS)}"
        return {
            f"{prefix}Street": street,
            f"{prefix}City": city,
            f"{prefix}State": state or None,
            f"{prefix}PostalCode": code,
        }

    def account(self, n: int, *, old: bool) -> Row:
        stamp = self._stamp(days=30 if old else self._rng.choice([0, 1, 2]))
        return {
            "Id": id18("001", n),
            "Name": f"{self._rng.choice(LAST)} {self._rng.choice(['Works', 'Trading', 'Labs', 'Group'])} {n}",
            "AccountNumber": f"AC-{n:05}",
            "Phone": self._phone(),
            "Website": self._maybe(f"https://account{n}.example"),
            "Description": self._maybe(f"Account {n}", 0.3),
            "Tier__c": self._rng.choice(TIERS),
            **self._place("Billing"),
            **(self._place("Shipping") if self._rng.random() < 0.6 else {}),
            "CreatedDate": stamp,
            "LastModifiedDate": stamp,
            "SystemModstamp": stamp,
        }

    def contact(self, n: int, account: str | None) -> Row:
        stamp = self._stamp(days=self._rng.choice([0, 1, 3, 4]))
        return {
            "Id": id18("003", n),
            "FirstName": self._maybe(self._rng.choice(FIRST), 0.9),
            "LastName": f"{self._rng.choice(LAST)}",
            "Email": f"contact{n}@mail.example",
            "Phone": self._phone(),
            "Title": self._maybe("Buyer", 0.4),
            "Segment__c": self._rng.choice(["retail", "trade", None]),
            "AccountId": account,
            **(self._place("Mailing") if self._rng.random() < 0.8 else {}),
            "CreatedDate": stamp,
            "LastModifiedDate": stamp,
            "SystemModstamp": stamp,
        }

    def company(self, n: int) -> Row:
        return {
            "id": self._uuid(),
            "name": f"{self._rng.choice(LAST)} & {self._rng.choice(LAST)} {n}",
            "account_number": f"HUB-{n:05}",
            "phone": self._phone(),
            "website": self._maybe(f"https://company{n}.example", 0.5),
            "fax": self._maybe(f"+44 20 {n:08}", 0.2),
            "tier": self._rng.choice(TIERS),
        }

    def customer(self, n: int, company: UUID) -> Row:
        return {
            "id": self._uuid(),
            "company_id": company,
            "first_name": self._maybe(self._rng.choice(FIRST), 0.9),
            "last_name": self._rng.choice(LAST),
            "email": f"customer{n}@shop.example",
            "phone": self._phone(),
            "title": self._maybe("Owner", 0.3),
            "segment": self._rng.choice(["retail", "trade", None]),
        }

    def addresses(self, owner: str, id: UUID) -> list[Row]:  # noqa: A002 - the column's own name
        """A primary one of each kind that is synced, and for some another that must not be."""
        kinds = [("billing", True), ("shipping", True), ("shipping", False)]
        return [
            {
                "id": self._uuid(),
                "company_id": None,
                "customer_id": None,
                owner: id,
                "kind": kind,
                "is_primary": primary,
                **self._columns(),
            }
            for kind, primary in kinds[0 if owner == "company_id" else 1 :]
            if primary or self._rng.random() < 0.3
        ]

    def _columns(self) -> Row:
        place = self._place("")
        names = {"Street": "street", "City": "city", "State": "state", "PostalCode": "postal_code"}
        return {column: place[name] for name, column in names.items()}


def id18(prefix: str, n: int) -> str:
    """A record id as Salesforce gives it, checksum included."""
    short = f"{prefix}5e{n:010d}"
    return short + suffix(short)
