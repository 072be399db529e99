"""What the stages work on: the demo's made-up records, and what a poll says of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid5

from msgspec.structs import replace

from services.poller.cursor import normal
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.ref import Object, Ref
from syncline.contracts.result import Result
from syncline.local.demo.data import Row, Sizes, make

ACCOUNT = Object("salesforce", "Account")
CONTACT = Object("salesforce", "Contact")
COMPANY = Object("hub", "company")
SPACE = UUID("6f1d3c52-7a0e-4c55-8f43-0d6b2f0c9a11")
"""Namespace from which the made-up companies' ids come."""


NAME = "x" * 60


def org(accounts: int, contacts: int, *, name: str | None = None) -> dict[str, list[Row]]:
    """Rows by object, the same for the same sizes but for the day; every Contact has an Account. name: everybody's."""
    sizes = Sizes(accounts=accounts, contacts=contacts, orphans=0, companies=0, customers=0)
    rows = dict(make(sizes, rng=random.Random(7), now=datetime.now(UTC)).org)
    if name:
        for field, kind in (("Name", ACCOUNT), ("LastName", CONTACT)):
            for row in rows[kind.name]:
                row[field] = name
    return rows


def changes(config: Config, kind: Object, rows: Iterable[Row]) -> list[Change]:
    """What a poll says of the rows."""
    fields = sorted(config.reads(kind))
    return [
        Change(
            ref=Ref(*kind, row["Id"]),
            instance=config.systems[kind.system].instance,
            op="update",
            version=normal(row["SystemModstamp"]),
            time=normal(row["SystemModstamp"]),
            fields={field: row.get(field) for field in fields},
        )
        for row in rows
    ]


def edited(contacts: Iterable[Change]) -> list[Change]:
    """The same records later, each with another LastName."""
    now = normal(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000"))
    return [
        replace(change, version=now, time=now, fields={**change.fields, "LastName": f"{number:>60}"})
        for number, change in enumerate(contacts)
    ]


def results(accounts: Iterable[Change]) -> list[Result]:
    """What the writer says once it has made a company of each."""
    return [
        Result(
            pipeline="account-to-company",
            outcome="written",
            source=account.ref,
            target=Ref(*COMPANY, str(uuid5(SPACE, account.ref.id))),
            version=account.version,
            created=True,
        )
        for account in accounts
    ]
