"""What people do on both sides while the demo runs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncline.config.model import SalesforceSystem
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object, Ref
from syncline.local.demo.compare import Pairs, Records
from syncline.local.system import System
from syncline.salesforce.collections import Saved
from syncline.systems.salesforce import open_salesforce

CONTACT, CUSTOMER = Object("salesforce", "Contact"), Object("hub", "customer")
ACCOUNT, COMPANY = Object("salesforce", "Account"), Object("hub", "company")
TITLE, PHONE = "Head of Demos", "+41 31 000 00 00"


@dataclass
class Edits:
    """`hub` is a pool. `make` edits; `arrived` tells whether the other side shows it."""

    system: System
    hub: Any
    pairs: Pairs
    rng: random.Random

    async def make(self) -> int:
        """Titles in Salesforce, phones in the hub, one phone emptied, one Contact and one customer moved to another
        parent, and one field changed on both sides at once. Returns how many write calls it cost."""
        contacts = sorted(ref.id for ref, kind in self.pairs if ref.kind == CONTACT and kind == CUSTOMER)
        accounts = sorted(ref.id for ref, kind in self.pairs if ref.kind == ACCOUNT and kind == COMPANY)
        chosen = self.rng.sample(contacts, 63)
        self.titled, self.phoned = chosen[:30], chosen[30:60]
        self.emptied, self.moved, self.both = chosen[60:]
        self.new_account = self.rng.choice(accounts)
        rows: list[dict[str, Any]] = [
            *({"Id": each, "Title": TITLE} for each in self.titled),
            {"Id": self.emptied, "Phone": None},
            {"Id": self.moved, "AccountId": self.new_account},
            {"Id": self.both, "Title": "from Salesforce"},
        ]
        system = self.system.config.systems["salesforce"]
        assert isinstance(system, SalesforceSystem), "the demo's own configuration"
        customers = [UUID(self._customer(each)) for each in self.phoned]
        async with open_salesforce(system, rng=self.rng) as client:
            await client.connect()
            await self.hub.execute("UPDATE hub.customers SET phone = $1 WHERE id = ANY($2)", PHONE, customers)
            await self.hub.execute(
                "UPDATE hub.customers SET title = 'from the hub' WHERE id = $1", UUID(self._customer(self.both))
            )
            outcomes = await client.update("Contact", rows)
            if refused := [each for each in outcomes if not isinstance(each, Saved)]:
                raise Fatal(f"the simulated org refused the demo's edits: {refused[0]}")
            return client.calls["write"]

    def _customer(self, contact: str) -> str:
        return self.pairs[Ref(*CONTACT, contact), CUSTOMER].id

    def arrived(self, records: Records) -> bool:
        contacts: Mapping[str, Any] = records[CONTACT]
        customers: Mapping[str, Any] = records[CUSTOMER]
        return (
            all(customers[self._customer(each)]["title"] == TITLE for each in self.titled)
            and all(contacts[each].get("Phone") == PHONE for each in self.phoned)
            and customers[self._customer(self.emptied)]["phone"] is None
            and contacts[self.moved].get("AccountId") == self.new_account
        )
