"""A small configuration of two systems that is right in everything; tests spoil one part of it."""

from __future__ import annotations

from syncline.config.load import parse
from syncline.config.model import Config

GOOD = """\
systems:
  sf:
    kind: salesforce
    login_url: https://acme.my.salesforce.com
    auth: {flow: client_credentials, client_id: syncline, client_secret: hush}
    objects:
      Account: {counterpart: {hub: Hub__c}}
  hub:
    kind: postgres
    url: postgresql://syncline:hush@db/hub
    objects:
      company:
        table: hub.companies
        counterpart: {sf: sf_id}
        embed:
          billing: {table: hub.addresses, owner: company_id, where: {kind: billing}, columns: [city]}
      person: {table: hub.people}
pipelines:
  companies:
    from: sf.Account
    to: hub.company
    match: [[name]]
    references: {parent_id: ParentId}
    fields:
      name: Name
      billing.city: BillingCity
  people:
    from: sf.Contact
    to: hub.person
    parent: {field: company_id, from: AccountId, pipeline: companies}
    fields:
      last_name: LastName
  accounts:
    from: hub.company
    to: sf.Account
    fields:
      Name: name
      BillingCity: billing.city
"""


def config(*changes: tuple[str, str]) -> Config:
    """Each change replaces a text that is there exactly once."""
    return parse(spoiled(*changes), name="pipelines.yaml", environ={})


def spoiled(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line(text: str, words: str) -> int:
    """The number of the only line that holds these words."""
    (number,) = (number for number, each in enumerate(text.splitlines(), 1) if words in each)
    return number
