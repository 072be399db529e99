"""Which changes a person means, and where they lie."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.contracts.ref import Object
from syncline.contracts.replay import Replay
from syncline.replay.selection import Selection, select
from syncline.runtime.kafka import partition_of
from syncline.timeline.asked import Unknown
from tests.unit.timeline.world import ACCOUNT, CONTACT, NAMES, OTHER, config, message

CHANGES = NAMES.changes(CONTACT.kind)
COMPANY = Object("hub", "company")


def chosen(**words: Any) -> Selection:
    return select(config(), **words)


def test_nothing_typed_is_everything_that_is_read() -> None:
    selection = chosen()
    assert selection.places(NAMES, [3]) == {NAMES.changes(kind): range(3) for kind in config().sources}
    assert selection.replay == Replay(kept=True, pipelines=None)


def test_a_pipeline_means_the_object_that_it_reads_and_goes_with_each_message() -> None:
    selection = chosen(pipelines=["contact-to-customer"])
    assert selection.kinds == (CONTACT.kind,)
    assert Replay.of(selection.replay.headers) == Replay(kept=True, pipelines=frozenset({"contact-to-customer"}))


@pytest.mark.parametrize("typed", ["salesforce.Contact", "salesforce/Contact", "Contact"])
def test_an_object_is_called_as_in_the_configuration_as_in_names_or_alone(typed: str) -> None:
    assert chosen(objects=[typed]).kinds == (CONTACT.kind,)


def test_a_record_is_looked_for_in_its_own_partition_only_and_taken_by_its_key() -> None:
    selection = chosen(records=[f"Contact/{CONTACT.id}"])
    assert selection.places(NAMES, [4]) == {CHANGES: {partition_of(CONTACT.id.encode(), 4)}}
    lying = [message(CHANGES, ref.id, b"{}") for ref in (CONTACT, OTHER, CONTACT)]
    assert selection.taken(lying, NAMES) == [lying[0], lying[2]]
    assert chosen().taken(lying, NAMES) == lying


def test_a_record_without_its_object_may_be_one_of_each() -> None:
    both = chosen(records=[ACCOUNT.id])
    assert {ref.kind for ref in both.refs or ()} == {ACCOUNT.kind, CONTACT.kind, COMPANY, Object("hub", "customer")}
    assert chosen(records=[ACCOUNT.id], objects=["Account"]).refs == frozenset({ACCOUNT})


def test_offsets_leave_the_other_partitions_out() -> None:
    selection = chosen(objects=["Contact"], offsets={2: 17})
    assert selection.places(NAMES, [4]) == {CHANGES: {2}}
    number = partition_of(CONTACT.id.encode(), 4)
    elsewhere = chosen(records=[f"Contact/{CONTACT.id}"], offsets={(number + 1) % 4: 0})
    assert elsewhere.places(NAMES, [4]) == {CHANGES: set()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"pipelines": ["nope"]}, "there is no pipeline nope: there are account-to-company,"),
        ({"objects": ["Lead"]}, "Lead is read by no pipeline: name one of hub.company,"),
        ({"objects": ["hub.company"], "pipelines": ["account-to-company"]}, "reads salesforce.Account, and not hub"),
        ({"objects": ["Account"], "records": [f"Contact/{CONTACT.id}"]}, "is no record of salesforce.Account"),
        ({"offsets": {0: 1}}, "name one of them .--object."),
    ],
)
def test_what_names_nothing_is_refused_with_what_there_is(words: dict[str, Any], said: str) -> None:
    with pytest.raises(Unknown, match=said):
        chosen(**words)
