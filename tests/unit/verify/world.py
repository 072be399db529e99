"""Two objects that are synced both ways, with every kind of mapping, and pairs of their records."""

from __future__ import annotations

from functools import cache
from typing import Any

from syncline.config.load import parse
from syncline.config.model import Config
from syncline.contracts.catalog import FieldInfo
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.hub import values as hub_values
from syncline.hub.tables import Column
from syncline.salesforce import values as salesforce_values
from syncline.verify.compare import Mismatch, Pair, compare
from syncline.verify.pairing import Pairing, Row, pairings

CONTACT, CUSTOMER = Object("salesforce", "Contact"), Object("hub", "customer")
ACCOUNT, COMPANY = Object("salesforce", "Account"), Object("hub", "company")

SYSTEMS = """
systems:
  salesforce:
    kind: salesforce
    login_url: https://acme.example
    auth: {flow: client_credentials, client_id: x, client_secret: y}
    objects: {Contact: {counterpart: {hub: Hub_Id__c}}}
  hub:
    kind: postgres
    url: postgresql://127.0.0.1/hub
    objects:
      company: {table: hub.companies}
      customer: {table: hub.customers, counterpart: {salesforce: salesforce_id}}
"""
TO_HUB = """
  contact-to-customer:
    from: salesforce.Contact
    to: hub.customer
    parent: {field: company_id, from: AccountId, pipeline: account-to-company, without: skip}
    references: {manager_id: ReportsToId}
    where: {Type: Person}
    fields:
      name: Name
      email: {from: Email, transform: [trim, lower]}
      phone: {from: Phone, on_empty: clear}
      born: Born
      seen: Seen
      score: Score
      member: Member
      note: Note
      tier: {static: standard}
      web: {destination: true, transform: [trim]}
  account-to-company: {from: salesforce.Account, to: hub.company, fields: {name: Name}}
"""
TO_SALESFORCE = """
  customer-to-contact:
    from: hub.customer
    to: salesforce.Contact
    parent: {field: AccountId, from: company_id, pipeline: company-to-account, without: skip}
    references: {ReportsToId: manager_id}
    on_delete: delete
    fields:
      Name: name
      Email: {from: email, transform: [trim, lower]}
      Phone: phone
      Born: born
      Seen: seen
      Score: score
      Member: member
  company-to-account: {from: hub.company, to: salesforce.Account, fields: {Name: name}}
"""
KINDS = {
    **dict.fromkeys(("Name", "Email", "Phone", "Note", "Type", "AccountId", "ReportsToId", "Hub_Id__c"), "string"),
    "Born": "date",
    "Seen": "datetime",
    "Score": "double",
    "Member": "boolean",
}
COLUMNS = {
    **dict.fromkeys(("name", "email", "phone", "note", "tier", "web"), "text"),
    **dict.fromkeys(("company_id", "manager_id", "salesforce_id"), "text"),
    "born": "date",
    "seen": "timestamptz",
    "score": "numeric",
    "member": "bool",
}


def config(*pipelines: str) -> Config:
    given = "".join(pipelines or (TO_HUB, TO_SALESFORCE))
    return parse(f"{SYSTEMS}\npipelines:\n{given}", name="test", environ={})


def form(kind: Object, field: str, value: Value) -> Value:
    if kind.system == "salesforce":
        return salesforce_values.canonical(KINDS[field], value)
    declared = COLUMNS[field]
    return hub_values.canonical(Column(declared, declared, FieldInfo(name=field)), value)


@cache
def pairing(*pipelines: str) -> Pairing:
    [found] = pairings(config(*pipelines), form, [CONTACT])
    return found


PERSON: Fields = {**dict.fromkeys(KINDS), "Name": "Ng", "Type": "Person", "AccountId": "acc", "Member": False}
ROW: Fields = {**dict.fromkeys(COLUMNS), "name": "Ng", "company_id": "com", "tier": "standard", "member": False}
THEIRS, OURS = Ref(*CONTACT, "c"), Ref(*CUSTOMER, "k")
PARTNERS = {(Ref(*ACCOUNT, "acc"), COMPANY): "com", (Ref(*COMPANY, "com"), ACCOUNT): "acc"}


class World:
    """One pair, equal at first. `known` of a side changes with what it holds only by `agree`."""

    def __init__(self, *pipelines: str) -> None:
        self.pairing = pairing(*pipelines)
        self.contact, self.customer = dict(PERSON), dict(ROW)
        self.more: dict[str, Any] = {}
        self.agree()

    def agree(self, contact: Fields | None = None, customer: Fields | None = None) -> None:
        """Both sides hold these values, and know so."""
        self.contact |= contact or {}
        self.customer |= customer or {}
        self.knows = {
            CONTACT: {field: self.contact[field] for field in self.pairing.known[CONTACT]},
            CUSTOMER: {field: self.customer[field] for field in self.pairing.known[CUSTOMER]},
        }

    def never_met(self, kind: Object, *fields: str) -> None:
        self.knows[kind] = {field: value for field, value in self.knows[kind].items() if field not in fields}

    @property
    def link(self) -> Link:
        sides = {kind: self.more.get(kind.name, {}) for kind in (CONTACT, CUSTOMER)}
        customer = Side(OURS, "5", self.knows[CUSTOMER], **sides[CUSTOMER])
        contact = Side(THEIRS, "2026-01-01T00:00:00.000Z", self.knows[CONTACT], **sides[CONTACT])
        return Link(customer, contact, revision=1, id=1, paused=self.more.get("paused", False))

    @property
    def rows(self) -> dict[Object, Row]:
        return {CONTACT: Row(THEIRS, self.contact), CUSTOMER: Row(OURS, self.customer)}

    @property
    def pair(self) -> Pair:
        return Pair(self.link, self.rows)

    @property
    def mismatches(self) -> list[Mismatch]:
        return compare(self.pairing, self.pair, PARTNERS)

    @property
    def stated(self) -> list[int]:
        """By both sides."""
        link = self.link
        theirs = Link(link.target, link.source, revision=1, id=1, paused=link.paused)
        return [self.pairing.stated(link, self.rows[CUSTOMER]), self.pairing.stated(theirs, self.rows[CONTACT])]
