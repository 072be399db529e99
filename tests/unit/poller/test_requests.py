"""What the mapper asks for is read in one call an object, and every request gets an answer that can be seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.poller.metrics import Metrics
from services.poller.requests import Requests
from syncline.contracts.errors import Fatal, Transient
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from tests.unit.poller.world import COMPANY, CUSTOMER, NAMES, Outside, Scripted, change


class Asking:
    def __init__(self) -> None:
        self.outside = Outside()
        self.companies = Scripted(COMPANY, records={"1": change("1"), "2": change("2")})
        self.customers = Scripted(CUSTOMER, records={"9": change("9", kind=CUSTOMER)})
        sources = {COMPANY: self.companies, CUSTOMER: self.customers}
        self.requests = Requests(sources, self.outside, NAMES, Metrics(CollectorRegistry()))

    async def ask(self, *values: Any) -> None:
        await self.requests.handle(
            [
                SimpleNamespace(topic=NAMES.requests, partition=3, offset=at, value=value)
                for at, value in enumerate(values)
            ]
        )


def request(kind: Object, key: str) -> bytes:
    return Request(ref=Ref(*kind, key), reason="a child waits").encode()


async def test_records_are_read_in_one_call_an_object_each_once() -> None:
    asking = Asking()
    await asking.ask(*(request(COMPANY, key) for key in ("1", "2", "1")), request(CUSTOMER, "9"))
    assert asking.companies.asked == [["1", "2"]]
    assert asking.customers.asked == [["9"]]
    assert sorted(event.ref.id for event in asking.outside.events()) == ["1", "2", "9"]
    assert asking.outside.letters() == []


async def test_a_record_that_does_not_exist_becomes_a_dead_letter_that_names_it() -> None:
    asking = Asking()
    await asking.ask(request(COMPANY, "1"), request(COMPANY, "gone"))
    (letter,) = asking.outside.letters()
    assert (letter.code, letter.ref) == ("PARENT_NOT_FOUND", "hub/company/gone")
    assert letter.position == "test.requests/3/1"
    assert letter.input == request(COMPANY, "gone")
    assert [event.ref.id for event in asking.outside.events()] == ["1"]


async def test_what_is_no_request_or_names_no_source_becomes_a_dead_letter() -> None:
    asking = Asking()
    await asking.ask(b"not json", None, request(Object("crm", "deal"), "1"), request(COMPANY, "1"))
    assert [letter.code for letter in asking.outside.letters()] == ["MALFORMED"] * 3
    assert "no pipeline reads crm/deal" in asking.outside.letters()[2].message
    assert [event.ref.id for event in asking.outside.events()] == ["1"]


async def test_an_object_that_cannot_be_read_costs_the_others_nothing() -> None:
    asking = Asking()
    asking.companies.refusal = Fatal("the field is gone")
    await asking.ask(request(COMPANY, "1"), request(CUSTOMER, "9"))
    (letter,) = asking.outside.letters()
    assert (letter.code, letter.message, letter.ref) == ("CANNOT_BE_READ", "the field is gone", "hub/company/1")
    assert [event.ref.id for event in asking.outside.events()] == ["9"]


async def test_a_passing_failure_leaves_the_whole_pass_to_be_run_again() -> None:
    asking = Asking()
    asking.companies.refusal = Transient("no connection")
    with pytest.raises(Transient):
        await asking.ask(request(COMPANY, "1"), b"not json")
    assert asking.outside.messages == []


async def test_a_system_that_only_sends_is_not_asked() -> None:
    asking = Asking()
    sent = Object("shop", "customer")
    asking.requests = Requests({}, asking.outside, NAMES, Metrics(CollectorRegistry()), streams={sent})
    await asking.ask(request(sent, "7"))
    (letter,) = asking.outside.letters()
    assert (letter.code, letter.ref) == ("CANNOT_BE_READ", "shop/customer/7")
    assert "incremental snapshot" in letter.remedy


async def test_the_version_that_a_record_is_known_by_goes_along_the_highest_of_several() -> None:
    asking = Asking()
    ref = Ref(*COMPANY, "1")
    known = [Request(ref=ref, reason="changed unseen", known=version).encode() for version in ("7", "9", "8")]
    await asking.ask(*known, request(COMPANY, "2"), request(COMPANY, "1"))
    assert asking.companies.known == [{"1": "9"}]
