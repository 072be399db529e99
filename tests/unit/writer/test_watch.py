"""When the writer looks at a target's schema, and what it makes of what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.writer.watch import FIRST_WAIT, LONGEST_WAIT, LOOK_EVERY, TRUSTED, Doubt, Watch
from syncline.contracts.catalog import Catalog, Described, FieldInfo, FieldType
from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.ref import Object
from tests.unit.writer.world import config

ACCOUNT, CONTACT = Object("sf", "Account"), Object("sf", "Contact")


def catalog(*names: str) -> Catalog:
    return {name: FieldInfo(name=name) for name in names} | {"Hub": FieldInfo(name="Hub", external_id=True)}


BEGUN = {
    ACCOUNT: Described(catalog("Name", "Phone", "Tier")),
    CONTACT: Described(catalog("LastName", "Email", "AccountId")),
}
MISSING = RecordRejected("Required fields are missing", code="REQUIRED_FIELD_MISSING", fields=("Size__c",))


def with_field(name: str, **facts: Any) -> dict[Object, Described]:
    info = FieldInfo(name=name, **facts)
    return {**BEGUN, ACCOUNT: replace_catalog({**BEGUN[ACCOUNT].catalog, name: info})}


def replace_catalog(found: Catalog) -> Described:
    return BEGUN[ACCOUNT]._replace(catalog=found)


@dataclass
class Target:
    """What the system says of itself now, and how often it was asked; what the next pass ends with."""

    now: Mapping[Object, Described] | Fatal = field(default_factory=lambda: BEGUN)
    asked: int = 0
    refreshed: int = 0
    passes: int = 0
    second: float = 0.0
    ends: Exception | None = None
    refuses: Exception | None = None

    def __post_init__(self) -> None:
        self.watch = Watch(config(), BEGUN, self.ask, self.refresh, clock=lambda: self.second)

    async def ask(self, system: str) -> Mapping[Object, Described]:
        self.asked += 1
        if isinstance(self.now, Fatal):
            raise self.now
        return self.now

    async def refresh(self, system: str) -> None:
        if self.refuses:
            raise self.refuses
        self.refreshed += 1

    async def handle(self, records: Any) -> None:
        self.passes += 1
        if self.ends and not (isinstance(self.ends, Doubt) and not self.watch.doubts("companies", MISSING)):
            raise self.ends

    async def run(self) -> None:
        await self.watch.guard("sf", self.handle, ["record"])

    async def waits(self) -> Transient:
        with pytest.raises(Transient) as caught:
            await self.run()
        return caught.value


async def test_a_pass_that_goes_well_asks_nothing() -> None:
    target = Target()
    await target.run()
    assert (target.passes, target.asked) == (1, 0)


async def test_a_rejection_that_the_schema_does_not_explain_is_the_records_own_for_a_while() -> None:
    target = Target(ends=Doubt("companies", MISSING))
    await target.waits()
    await target.run()
    assert (target.asked, target.passes) == (1, 2)
    other = RecordRejected("other", code="REQUIRED_FIELD_MISSING", fields=("Colour__c",))
    assert target.watch.doubts("companies", other)
    assert not target.watch.doubts("companies", RecordRejected("taken", code="DUPLICATE_VALUE"))
    target.second += TRUSTED + 1
    assert target.watch.doubts("companies", MISSING)


async def test_it_pauses_with_what_must_be_put_right_and_goes_on_then() -> None:
    target = Target(ends=Doubt("companies", MISSING), now=with_field("Size__c", required=True))
    paused = await target.waits()
    assert "sf/Account requires Size__c. Map them, or give `static` values." in str(paused)
    assert paused.retry_after == FIRST_WAIT
    waits = [(await target.waits()).retry_after for _ in range(12)]
    assert waits[:2] == [2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert target.passes == 1  # nothing is tried while it is paused
    target.now, target.ends = BEGUN, None
    await target.run()
    assert (target.watch.paused, target.passes) == ({}, 2)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({**BEGUN, ACCOUNT: replace_catalog(catalog("Name", "Tier"))}, "sf/Account has no field Phone"),
        (with_field("Phone", type="number"), "Phone of sf/Account was a text and is a number now"),
        (with_field("Phone", writable=False), "Phone of sf/Account cannot be written"),
        ({ACCOUNT: BEGUN[ACCOUNT]}, "sf shows no object Contact"),
        ({**BEGUN, ACCOUNT: BEGUN[ACCOUNT]._replace(rights=frozenset({"read"}))}, "the user may not create sf/Account"),
        (Fatal("there is no table hub.companies"), "there is no table hub.companies"),
    ],
)
async def test_an_error_that_would_end_the_writer_pauses_where_the_schema_explains_it(now: Any, told: str) -> None:
    target = Target(ends=Fatal("reading 3 records"), now=now)
    assert told in str(await target.waits())
    assert told in target.watch.paused["sf"]


async def test_any_other_error_ends_it() -> None:
    with pytest.raises(Fatal, match="rejects in a row"):
        await Target(ends=Fatal("200 rejects in a row")).run()


async def test_a_change_that_the_mapping_takes_is_learned_and_the_records_are_taken_again() -> None:
    target = Target(ends=Doubt("companies", MISSING), now=with_field("Note__c"))
    assert "the mapping still fits" in str(await target.waits())
    assert target.refreshed == 1
    target.ends = None
    await target.run()
    assert (target.refreshed, target.asked) == (1, 1)


async def test_a_sink_that_could_not_learn_it_tries_again() -> None:
    target = Target(ends=Doubt("companies", MISSING), now=with_field("Note__c"), refuses=Transient("away"))
    assert str(await target.waits()) == "away"
    target.refuses = None
    assert "the mapping still fits" in str(await target.waits())


async def test_a_change_that_makes_no_write_fail_is_noticed_in_time() -> None:
    changed: FieldType = "boolean"
    target = Target(now=with_field("Phone", type=changed))
    await target.run()
    target.second += LOOK_EVERY + 1
    assert "is a boolean now" in str(await target.waits())
    assert target.passes == 1
