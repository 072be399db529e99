"""One suite for both sinks: what the writer relies on, whichever system it writes to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from services.writer.sinks import Saved
from syncline.contracts.errors import RecordRejected, Transient
from syncline.contracts.ref import Fields
from tests.conftest import FreshDatabase
from tests.contract.sink_worlds import People, hub_world, salesforce_world


@pytest.fixture(params=["salesforce", "hub"])
async def people(request: pytest.FixtureRequest, fresh_database: FreshDatabase) -> AsyncIterator[People]:
    if request.param == "salesforce":
        async with salesforce_world() as org:
            yield People(org)
    else:
        async with hub_world(fresh_database) as hub:
            yield People(hub)


async def test_reads_what_is_there_by_the_id_asked_for_and_leaves_out_what_is_not(people: People) -> None:
    ng = await people.add(last="Ng", email="ng@example.com")
    poe = await people.add(last="Poe")
    found = await people.read(poe, people.world.nowhere, "no id at all", ng, ng)
    assert set(found) == {ng, poe}
    empty = dict.fromkeys(("first", "phone", "key", "parent"))
    assert found[ng] == {"last": "Ng", "email": "ng@example.com", **empty}
    assert await people.read() == {}


async def test_a_record_shows_its_version_and_time_in_the_form_of_the_systems_events(people: People) -> None:
    ng = await people.add(last="Ng")
    (present,) = (await people.world.sink.read(people.world.name, [ng], [people.world.names["last"]])).values()
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", present.time)
    assert present.version == present.time or re.fullmatch(r"[0-9]{20}", present.version)


async def test_a_write_tells_a_version_no_later_than_a_read_shows_and_no_older_than_before(people: People) -> None:
    async def version(record: str) -> str:
        found = await people.world.sink.read(people.world.name, [record], [people.world.names["last"]])
        return found[record].version

    ng = await people.add(last="Ng")
    before = await version(ng)
    (saved,) = await people.saved(people.patch(ng, phone="1"))
    assert before <= saved.version <= await version(ng)


async def test_matches_without_regard_to_case_and_blanks_around(people: People) -> None:
    ng = await people.add(last="Ng", email="Ng@Example.com")
    assert await people.match(["email"], ("  nG@exAmple.COM ",), ("other@example.com",)) == [{ng}, set()]


async def test_every_record_that_matches_is_told(people: People) -> None:
    twins = {await people.add(last=f"Ng {n}", email="ng@example.com") for n in range(2)}
    assert await people.match(["email"], ("ng@example.com",), ("NG@example.com",)) == [twins, twins]


async def test_what_is_empty_or_impossible_matches_nothing(people: People) -> None:
    await people.add(last="Ng")
    asked = [(None,), ("",), (" \t ",), ("x" * 5000,)]
    assert await people.match(["email"], *asked) == [set()] * 4
    assert await people.match(["email"]) == []


async def test_a_rule_of_several_fields_wants_all_of_them(people: People) -> None:
    ann = await people.add(first="Ann", last="O'Ng\\", email="o@example.com")
    await people.add(first="Bob", last="O'Ng\\", email="o@example.com")
    rule = ["last", "email", "first"]
    asked = [
        ("o'ng\\", "O@example.com", " ANN"),
        ("o'ng\\", "o@example.com", "Carl"),
        ("o'ng\\", "o@example.com", None),
    ]
    assert await people.match(rule, *asked) == [{ann}, set(), set()]


async def test_creates_in_order_and_repeats_by_key_find_what_was_made(people: People) -> None:
    writes = [people.create(f"k{n}", last=f"Ng {n}", phone=str(n)) for n in range(5)]
    first = await people.saved(*writes)
    assert [each.created for each in first] == [True] * 5
    again = await people.saved(*reversed(writes), people.create("k9", last="Ng 9"))
    assert [each.id for each in again[:5]] == [each.id for each in reversed(first)]
    assert [each.created for each in again] == [False] * 5 + [True]
    assert len(await people.world.rows()) == 6
    found = await people.read(*(each.id for each in first))
    assert [found[each.id]["last"] for each in first] == [f"Ng {n}" for n in range(5)]
    assert [found[each.id]["key"] for each in first] == [f"k{n}" for n in range(5)]


async def test_creates_without_a_key_are_told_apart_too(people: People) -> None:
    made = await people.saved(*(people.create(last=f"Ng {n}") for n in range(20)))
    found = await people.read(*(each.id for each in made))
    assert [found[each.id]["last"] for each in made] == [f"Ng {n}" for n in range(20)]


async def test_absent_leaves_alone_and_null_clears_whatever_fields_the_neighbours_have(people: People) -> None:
    whole = {"first": "A", "last": "Ng", "email": "a@example.com", "phone": "1"}
    one, two, three = [await people.add(**whole) for _ in range(3)]
    await people.saved(
        people.patch(one, phone=None),
        people.patch(two, email="b@example.com", first=None),
        people.patch(three, phone="2"),
    )
    found = await people.read(one, two, three)
    assert {**found[one], **whole, "phone": None} == found[one]
    assert {**found[two], **whole, "email": "b@example.com", "first": None} == found[two]
    assert {**found[three], **whole, "phone": "2"} == found[three]


async def test_a_repeated_create_leaves_alone_what_it_does_not_name(people: People) -> None:
    (made,) = await people.saved(people.create("k1", last="Ng", phone="1"))
    await people.saved(people.patch(made.id, email="ng@example.com"))
    await people.saved(people.create("k1", last="Poe"))
    row = (await people.read(made.id))[made.id]
    assert (row["last"], row["phone"], row["email"]) == ("Poe", "1", "ng@example.com")


async def test_a_rejected_row_leaves_its_neighbours_alone_and_says_why(people: People) -> None:
    ids = [await people.add(last=f"Ng {n}") for n in range(4)]
    outcomes = await people.write(
        people.patch(ids[0], phone="0"),
        people.patch(ids[1], last=None),
        people.create("k1", last="Poe"),
        people.patch(ids[2], parent=people.world.nowhere, phone="2"),
        people.create("k2", first="nameless"),
        people.patch(ids[3], phone="3"),
    )
    assert [type(each) for each in outcomes] == [Saved, RecordRejected, Saved, RecordRejected, RecordRejected, Saved]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RecordRejected)]
    assert all(outcome.code and outcome.remedy for outcome in refused)
    last, parent = people.world.names["last"], people.world.names["parent"]
    # Salesforce does not say which of a record's references is broken.
    assert [outcome.fields or (parent,) for outcome in refused] == [(last,), (parent,), (last,)]
    found = await people.read(*ids)
    assert [found[each]["phone"] for each in ids] == ["0", None, None, "3"]
    assert [found[each]["last"] for each in ids] == [f"Ng {n}" for n in range(4)]


async def test_one_record_is_written_once_a_batch_the_other_is_to_be_planned_again(people: People) -> None:
    ng = await people.add(last="Ng")
    outcomes = await people.write(
        people.patch(ng, phone="1"),
        people.patch(ng, phone="2"),
        people.create("k1", last="A"),
        people.create("k1", last="B"),
    )
    assert [type(each) for each in outcomes] == [Saved, Transient, Saved, Transient]
    assert (await people.read(ng))[ng]["phone"] == "1"


async def test_a_read_shows_what_canonical_foretold(people: People) -> None:
    messy: Fields = {"first": 12, "last": "Ng", "email": "ng@example.com", "phone": "\u00a01"}
    told = people.words(people.world.sink.canonical(people.world.name, people.named(messy)))
    ng = await people.add(**told)
    row = (await people.read(ng))[ng]
    assert {word: row[word] for word in messy} == told


async def test_an_object_or_field_that_the_system_does_not_have_is_this_record_s_fault(people: People) -> None:
    with pytest.raises(RecordRejected) as unknown:
        people.world.sink.canonical(people.world.name, {people.world.names["last"]: "Ng", "nickname": "x"})
    assert unknown.value.fields == ("nickname",)
    with pytest.raises(RecordRejected):
        people.world.sink.canonical("nothing", {"x": 1})


async def test_a_batch_above_every_limit_of_a_call_comes_back_whole_and_in_order(people: People) -> None:
    made = await people.saved(*(people.create(f"k{n}", last=f"Ng {n}", email=f"n{n}@example.com") for n in range(450)))
    patched = await people.saved(*(people.patch(each.id, phone=str(n)) for n, each in enumerate(made)))
    assert [each.id for each in patched] == [each.id for each in made]
    matched = await people.match(["email"], *((f"N{n}@example.com",) for n in range(450)))
    assert matched == [{each.id} for each in made]
    found = await people.read(*(each.id for each in made))
    assert [found[each.id]["phone"] for each in made] == [str(n) for n in range(450)]


async def test_deletes_in_order_and_what_is_gone_already_counts_as_deleted(people: People) -> None:
    ng, poe, lee = [await people.add(last=last) for last in ("Ng", "Poe", "Lee")]
    gone = [poe, people.world.nowhere, ng, poe]
    for _ in range(2):
        outcomes = await people.delete(*gone)
        assert [each.id for each in outcomes if isinstance(each, Saved)] == gone
        assert not any(isinstance(each, Saved) and each.created for each in outcomes)
        assert set(await people.read(ng, poe, lee)) == {lee}
    assert await people.delete() == []


async def test_a_deletion_tells_a_version_that_its_own_event_is_no_older_than(people: People) -> None:
    ng = await people.add(last="Ng")
    present = await people.world.sink.read(people.world.name, [ng], [people.world.names["last"]])
    (outcome,) = await people.delete(ng)
    assert isinstance(outcome, Saved)
    earliest, latest = await people.world.deletion(ng)
    assert present[ng].version <= outcome.version
    assert earliest <= outcome.version <= latest


async def test_a_record_that_others_refer_to_stays_and_its_neighbours_go(people: People) -> None:
    ids = [await people.add(last=f"Ng {n}") for n in range(7)]
    code = await people.world.visit(ids[1])
    assert await people.world.visit(ids[5]) == code
    outcomes = await people.delete(*ids)
    refused = {each: told for each, told in zip(ids, outcomes, strict=True) if isinstance(told, RecordRejected)}
    assert set(refused) == {ids[1], ids[5]}
    assert all(told.code == code and told.remedy for told in refused.values())
    assert sum(isinstance(each, Saved) for each in outcomes) == 5
    assert set(await people.read(*ids)) == {ids[1], ids[5]}
    await people.world.leave()
    assert [type(each) for each in await people.delete(*ids)] == [Saved] * 7
    assert await people.read(*ids) == {}


async def test_a_deletion_above_every_limit_of_a_call_comes_back_whole_and_in_order(people: People) -> None:
    made = await people.saved(*(people.create(f"k{n}", last=f"Ng {n}") for n in range(450)))
    await people.world.visit(made[321].id)
    outcomes = await people.delete(*(each.id for each in made))
    assert [place for place, each in enumerate(outcomes) if not isinstance(each, Saved)] == [321]
    assert set(await people.read(*(each.id for each in made))) == {made[321].id}


async def test_an_unreachable_system_is_transient_and_nothing_of_its_driver_leaks(people: People) -> None:
    ng = await people.add(last="Ng")
    await people.world.stop()
    with pytest.raises(Transient):
        await people.read(ng)
    with pytest.raises(Transient):
        await people.match(["email"], ("ng@example.com",))
    with pytest.raises(Transient):
        await people.write(people.patch(ng, phone="1"))
    with pytest.raises(Transient):
        await people.delete(ng)
