"""The Salesforce sink on the simulated org: how few calls it makes, and what is known when calls or rows fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from services.writer.sinks import Saved, Write, Written
from syncline.contracts.errors import Fatal, Throttled, Transient
from syncline.contracts.ref import Fields
from syncline.salesforce.errors import OutcomeUnknown
from syncline.simorg.faults import Fault
from tests.contract.sink_worlds import SalesforceWorld, salesforce_world


@pytest.fixture
async def org() -> AsyncIterator[SalesforceWorld]:
    async with salesforce_world() as world:
        yield world


@asynccontextmanager
async def at(moments: list[datetime]) -> AsyncIterator[SalesforceWorld]:
    """An org whose clock is what the test says, the last of `moments`."""
    async with salesforce_world(lambda: moments[-1]) as world:
        yield world


def keyed(count: int, **more: str) -> list[Write]:
    return [Write(None, {"LastName": f"Ng {n}", **more}, ("Hub_Id__c", f"k{n}")) for n in range(count)]


def kinds(outcomes: list[Written]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


def ids(outcomes: list[Written]) -> list[str]:
    return [outcome.id for outcome in outcomes if isinstance(outcome, Saved)]


async def test_rows_of_any_field_sets_share_calls_of_two_hundred(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(450)))
    patches: list[Fields] = [{"Phone": "1"}, {"Email": None, "Title": "Dr"}, {"LastName": "Poe"}]
    writes = [Write(each, patches[n % 3]) for n, each in enumerate(made)]
    writes += [Write(None, {"LastName": "New"}, ("Hub_Id__c", "n")), Write(None, {"LastName": "New"})]
    before = org.org.stats.calls["write"]
    assert kinds(await org.sink.write("Contact", writes)) == ["Saved"] * 452
    assert org.org.stats.calls["write"] - before == 3 + 1 + 1
    assert org.sink.calls == {"upsert": 3 + 1, "update": 3, "create": 1}
    assert org.sink.rows == {"upsert": 451, "update": 450, "create": 1}


async def test_reading_takes_a_call_for_two_thousand(org: SalesforceWorld) -> None:
    made = org.org.load({"Contact": [{"LastName": f"Ng {n}"} for n in range(2100)]})["Contact"]
    before = org.org.stats.calls["read"]
    assert len(await org.sink.read("Contact", made, ["LastName"])) == 2100
    assert org.org.stats.calls["read"] - before == 2


async def test_matching_asks_by_the_field_of_most_values(org: SalesforceWorld) -> None:
    org.org.load({"Contact": [{"LastName": "Ng", "Email": f"n{n}@example.com"} for n in range(2100)]})
    before = org.org.stats.calls["query"]
    asked = [("ng", f"N{n}@example.com") for n in range(300)]
    found = await org.sink.match("Contact", ("LastName", "Email"), asked, ["Email"])
    assert [[each.values for each in many] for many in found] == [[{"Email": f"n{n}@example.com"}] for n in range(300)]
    assert org.org.stats.calls["query"] - before == 1


async def test_an_account_takes_its_contacts_along(org: SalesforceWorld) -> None:
    accounts = org.org.load({"Account": [{"Name": "Acme"}, {"Name": "Beta"}]})["Account"]
    contacts = org.org.load({"Contact": [{"LastName": "Ng", "AccountId": each} for each in accounts]})["Contact"]
    assert kinds(await org.sink.delete("Account", accounts[:1])) == ["Saved"]
    assert set(await org.sink.read("Contact", contacts, ["LastName"])) == {contacts[1]}
    assert kinds(await org.sink.delete("Contact", contacts)) == ["Saved", "Saved"]


async def test_a_deletion_whose_answer_is_lost_is_repeated_and_counts_as_done(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(3)))
    org.org.faults.rules.append(Fault("drop_after", next=1, kinds=("write",)))
    assert kinds(await org.sink.delete("Contact", made)) == ["Saved"] * 3
    assert await org.sink.read("Contact", made, ["LastName"]) == {}


async def test_deletions_share_calls_of_two_hundred(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(450)))
    before = org.org.stats.calls["write"]
    assert kinds(await org.sink.delete("Contact", made)) == ["Saved"] * 450
    assert org.org.stats.calls["write"] - before == 3
    assert (org.sink.calls["delete"], org.sink.rows["delete"]) == (3, 450)


async def test_a_locked_row_is_to_be_planned_again_and_its_neighbours_are_saved(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(3)))
    org.org.faults.rules.append(Fault("lock_row", next=1))
    outcomes = await org.sink.write("Contact", [Write(each, {"Phone": "1"}) for each in made])
    assert kinds(outcomes) == ["Transient", "Saved", "Saved"]


async def test_an_update_tells_what_it_went_over(org: SalesforceWorld) -> None:
    [one, other] = ids(await org.sink.write("Contact", keyed(2, Phone="1")))
    before = org.org.stats.calls.total()
    found = await org.sink.write("Contact", [Write(one, {"Phone": "2"}), Write(other, {"Title": "Dr"})])
    assert [each.before.values for each in found if isinstance(each, Saved) and each.before] == [
        {"Phone": "1"},
        {"Title": None},
    ]
    assert org.org.stats.calls.total() - before == 1


async def test_an_update_whose_answer_is_lost_is_looked_at_anew_before_it_is_sent_again(org: SalesforceWorld) -> None:
    """What it went over would be lost with a blind repetition."""
    [one] = ids(await org.sink.write("Contact", keyed(1)))
    org.org.faults.rules.append(Fault("drop_after", next=1, kinds=("write",)))
    before = org.org.stats.calls["write"]
    with pytest.raises(OutcomeUnknown):
        await org.sink.write("Contact", [Write(one, {"Phone": "2"})])
    assert org.org.stats.calls["write"] - before == 1


async def test_a_value_that_salesforce_cannot_read_stands_alone(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(3)))
    bad: list[Fields] = [{"Phone": "1"}, {"Phone": True}, {"Phone": "3"}]
    outcomes = await org.sink.write("Contact", [Write(each, patch) for each, patch in zip(made, bad, strict=True)])
    assert kinds(outcomes) == ["Saved", "RecordRejected", "Saved"]


async def test_a_create_without_a_key_whose_answer_is_lost_is_not_sent_again(org: SalesforceWorld) -> None:
    org.org.faults.rules.append(Fault("drop_after", next=1, kinds=("write",)))
    with pytest.raises(OutcomeUnknown):
        await org.sink.write("Contact", [Write(None, {"LastName": "Ng"})])
    assert len(await org.rows()) == 1


async def test_a_create_by_key_whose_answer_is_lost_makes_one_record(org: SalesforceWorld) -> None:
    org.org.faults.rules.append(Fault("drop_after", next=1, kinds=("write",)))
    assert kinds(await org.sink.write("Contact", keyed(2))) == ["Saved", "Saved"]
    assert len(await org.rows()) == 2


async def test_what_was_saved_before_a_call_failed_is_not_forgotten(org: SalesforceWorld) -> None:
    async def cut_after(count: int) -> list[Written]:
        once = org.sink.client.upsert

        async def upsert(*args: object) -> object:
            if org.sink.calls["upsert"] > count:
                org.org.faults.rules.append(Fault("throttle", probability=1.0))
            return await once(*args)  # type: ignore[arg-type]

        org.sink.client.upsert = upsert  # type: ignore[method-assign, assignment]
        return await org.sink.write("Contact", keyed(500))

    outcomes = await cut_after(1)
    assert kinds(outcomes) == ["Saved"] * 200 + ["Throttled"] * 200 + ["Transient"] * 100
    assert len(await org.rows()) == 200


async def test_a_first_call_that_fails_is_raised_so_that_everybody_waits(org: SalesforceWorld) -> None:
    org.org.faults.rules.append(Fault("throttle", probability=1.0))
    with pytest.raises(Throttled):
        await org.sink.write("Contact", keyed(500))
    assert org.sink.calls == {"upsert": 1}


async def test_a_value_that_salesforce_cannot_read_is_one_row_s_fault(org: SalesforceWorld) -> None:
    made = ids(await org.sink.write("Contact", keyed(5)))
    writes = [Write(each, {"Birthdate": "soon" if n == 3 else "1990-01-02"}) for n, each in enumerate(made)]
    outcomes = await org.sink.write("Contact", writes)
    assert kinds(outcomes) == ["Saved"] * 3 + ["RecordRejected", "Saved"]


async def test_the_version_is_the_server_s_clock_before_the_call_and_never_ahead_of_the_stamp() -> None:
    moments = [datetime(2026, 11, 20, 10, 0, 0, 900_000, tzinfo=UTC)]
    async with at(moments) as org:
        made = ids(await org.sink.write("Contact", keyed(1)))
        (before,) = (await org.sink.read("Contact", made, ["LastName"])).values()
        assert (before.version, before.time) == ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:00.000Z")
        moments.append(moments[-1] + timedelta(seconds=1.2))
        (saved,) = await org.sink.write("Contact", [Write(made[0], {"Phone": "1"})])
        (after,) = (await org.sink.read("Contact", made, ["LastName"])).values()
        assert isinstance(saved, Saved)
        assert (saved.version, after.version) == ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:02.000Z")


async def test_a_session_that_keeps_expiring_is_transient(org: SalesforceWorld) -> None:
    org.org.faults.rules.append(Fault("expire_session", probability=1.0))
    with pytest.raises(Transient):
        await org.sink.read("Contact", ["003000000000001AAA"], ["LastName"])


async def test_an_object_that_the_org_does_not_show_stops_the_start(org: SalesforceWorld) -> None:
    from services.writer.sinks.salesforce import salesforce_sink

    with pytest.raises(Fatal, match="describing Nothing__c"):
        await salesforce_sink(org.sink.client, ["Nothing__c"])
