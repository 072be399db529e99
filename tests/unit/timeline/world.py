"""A contact and its account, and messages about them as they lie on the topics."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.mapper.mapped import Mapped, Wait
from syncline.config.load import parse
from syncline.config.model import Config
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.ref import Object, Ref
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.timeline.fetched import moment

NAMES = Names("s")
ACCOUNT = Ref("salesforce", "Account", "001000000000001AAA")
CONTACT = Ref("salesforce", "Contact", "003000000000001AAA")
OTHER = Ref("salesforce", "Contact", "003000000000002AAA")
CUSTOMER = Ref("hub", "customer", "c/1")
COMPANY = Object("hub", "company")
START = 1_800_000_000_000
"""Milliseconds since 1970 when the stories begin."""

WAIT = Wait(str(ACCOUNT), str(COMPANY), "company_id")


class Message(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def message(topic: str, key: str | bytes, value: bytes | None, *, at: int = 0, offset: int = 0) -> Message:
    """`at`: milliseconds since the start."""
    return Message(topic, 0, offset, START + at, key.encode() if isinstance(key, str) else key, value)


def after(seconds: float) -> datetime:
    return moment(START) + timedelta(seconds=seconds)


def change(ref: Ref = CONTACT, **given: Any) -> Change:
    wanted: dict[str, Any] = {
        "instance": "acme",
        "op": "create",
        "version": "v1",
        "time": "2027-01-15T08:00:00Z",
        "fields": {"LastName": "Lund", "Title": None},
    }
    return Change(ref=ref, **{**wanted, **given})


def command(source: Ref = CONTACT, **given: Any) -> Command:
    wanted: dict[str, Any] = {
        "pipeline": "contact-to-customer",
        "op": "upsert",
        "version": "v1",
        "time": "2027-01-15T08:00:00Z",
        "target": Object("hub", "customer"),
        "fields": {"last_name": "Lund"},
        "seen": {"LastName": "Lund"},
        "inputs": {"last_name": ["LastName"]},
    }
    return Command(source=source, **{**wanted, **given})


def mapped(source: Ref = CONTACT, *, waits: tuple[Wait, ...] = (WAIT,), left: bool = False, **given: Any) -> Mapped:
    return Mapped.of(command(source, **given), waits, str(ACCOUNT), left=left)


def result(**given: Any) -> Result:
    wanted: dict[str, Any] = {
        "pipeline": "contact-to-customer",
        "outcome": "written",
        "source": CONTACT,
        "target": CUSTOMER,
        "version": "v1",
        "written": ("last_name",),
        "created": True,
    }
    return Result(**{**wanted, **given})


def held_row(child: Mapped, *, at: int = 0, offset: int = 0) -> Message:
    """As services.mapper.join puts it; `at` in milliseconds since the start."""
    head = orjson.dumps({"at": START + at, "version": child.head.version})
    return message(NAMES.changelog("held"), child.head.slot, head + b"\n" + child.encode(), at=at + 5, offset=offset)


def tombstone(child: Mapped, *, at: int, offset: int = 0) -> Message:
    return message(NAMES.changelog("held"), child.head.slot, None, at=at, offset=offset)


def config() -> Config:
    """Two objects on each side; the hub's system is called `hub`."""
    return parse(PIPELINES, name="test", environ={})


PIPELINES = """
systems:
  salesforce:
    kind: salesforce
    login_url: https://acme.my.salesforce.com
    auth: {flow: client_credentials, client_id: x, client_secret: y}
  hub:
    kind: postgres
    url: postgresql://127.0.0.1/hub
    objects:
      company: {table: hub.companies}
      customer: {table: hub.customers}
pipelines:
  account-to-company: {from: salesforce.Account, to: hub.company, fields: {name: Name}}
  company-to-account: {from: hub.company, to: salesforce.Account, fields: {Name: name}}
  contact-to-customer:
    from: salesforce.Contact
    to: hub.customer
    parent: {field: company_id, from: AccountId, pipeline: account-to-company}
    fields: {last_name: LastName}
  customer-to-contact:
    from: hub.customer
    to: salesforce.Contact
    parent: {field: AccountId, from: company_id, pipeline: company-to-account}
    fields: {LastName: last_name}
"""
