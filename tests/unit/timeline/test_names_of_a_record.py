"""What a person may type for a record, and which messages then are about it."""

from __future__ import annotations

import pytest

from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Ref
from syncline.runtime.kafka import partition_of
from syncline.timeline import wanted
from syncline.timeline.asked import Unknown, candidates, one
from tests.unit.timeline.world import ACCOUNT, CONTACT, CUSTOMER, NAMES, command, config, mapped, message

CONFIG = config()


@pytest.mark.parametrize("asked", [str(CONTACT), f"Contact/{CONTACT.id}"])
def test_an_object_that_is_named_leaves_one_meaning(asked: str) -> None:
    assert candidates(asked, CONFIG) == [CONTACT]


def test_a_bare_id_may_be_of_any_object() -> None:
    assert {ref.object for ref in candidates(CONTACT.id, CONFIG)} == {"Account", "Contact", "company", "customer"}


def test_an_id_may_hold_slashes() -> None:
    assert candidates("hub/customer/c/1", CONFIG) == [CUSTOMER]
    assert CUSTOMER in candidates("c/1", CONFIG)


def test_an_id_of_15_characters_is_completed_for_salesforce_alone() -> None:
    assert candidates("Contact/0035e00000ABcdE", CONFIG) == [Ref("salesforce", "Contact", "0035e00000ABcdEAAT")]
    assert candidates("customer/0035e00000ABcdE", CONFIG) == [Ref("hub", "customer", "0035e00000ABcdE")]


@pytest.mark.parametrize("asked", ["", "Contact/", "salesforce/Contact/"])
def test_what_names_no_record_is_refused(asked: str) -> None:
    with pytest.raises(Unknown, match="system/object/id"):
        candidates(asked, CONFIG)


def test_links_join_a_record_with_all_its_names() -> None:
    third = Ref("erp", "person", "7")
    links = [Link(Side(one, "", {}), Side(other, "", {})) for one, other in ((CUSTOMER, third), (CONTACT, CUSTOMER))]
    assert set(one([CONTACT, ACCOUNT], links)) == {frozenset({CONTACT, CUSTOMER, third}), frozenset({ACCOUNT})}


def test_messages_are_looked_for_where_their_keys_live() -> None:
    keys = wanted.keys([CONTACT, CUSTOMER], [CONTACT.kind], NAMES)
    places = wanted.places(keys, [12])
    changes = NAMES.changes(CONTACT.kind)
    assert places[changes] == places[NAMES.replay] == {partition_of(CONTACT.id.encode(), 12)}
    assert places[NAMES.results] == {partition_of(str(ref).encode(), 12) for ref in (CONTACT, CUSTOMER)}
    assert NAMES.changes(CUSTOMER.kind) not in places, "nothing reads it, so there is no such topic"
    keep = wanted.by_key(keys)
    assert keep(message(changes, CONTACT.id, b""))
    assert not keep(message(changes, ACCOUNT.id, b""))


def test_under_the_parents_key_a_record_is_found_by_its_name() -> None:
    keep = wanted.by_name([CONTACT])
    assert keep(message(NAMES.mapped, str(ACCOUNT), mapped().encode()))
    assert keep(message(NAMES.commands("hub"), str(ACCOUNT), command().encode()))
    longer = Ref(*CONTACT.kind, CONTACT.id + "1")
    assert not keep(message(NAMES.commands("hub"), str(ACCOUNT), command(longer).encode()))
    assert not keep(message(NAMES.mapped, str(ACCOUNT), None))


def test_a_name_is_found_as_json_writes_it() -> None:
    odd = Ref("hub", "customer", 'Zoë "Z" \\ 1')
    assert wanted.by_name([odd])(message(NAMES.mapped, str(ACCOUNT), mapped(odd).encode()))
