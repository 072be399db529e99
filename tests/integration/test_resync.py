"""What people ask to be read again: kept in the state schema, worked under the lease, followed by the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.contracts.result import Result
from syncline.state.leases import LeaseLost, Leases
from syncline.state.links import Links
from syncline.state.resyncs import Resyncs, Step, Wanted
from tests.conftest import FreshDatabase
from tests.integration.oncall import OnCall, on_call
from tests.unit.timeline.world import ACCOUNT, CONTACT, CUSTOMER, PIPELINES

STREAM = """
  shop: {kind: stream, objects: {order: {topic: shop.orders, format: cloudevents}}}
pipelines:
  order-to-customer: {from: shop.order, to: hub.customer, fields: {last_name: name}}"""


@pytest.fixture
async def call(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[OnCall]:
    async with on_call(kafka_address, topic_prefix, fresh_database, tmp_path, pipelines=PIPELINES) as call:
        yield call


async def test_only_the_leases_holder_stores_how_far_it_has_come(call: OnCall) -> None:
    resyncs = Resyncs(call.pool)
    wanted = Wanted(CONTACT.kind, since=datetime(2026, 1, 1, tzinfo=UTC), pipelines=frozenset({"p"}))
    number = await resyncs.ask(wanted)
    [old] = await Leases(call.pool, "poller", "old", 60).take([CONTACT.kind], 1)
    await call.pool.execute("UPDATE syncline.leases SET expires_at = now() - interval '1 s'")
    [lease] = await Leases(call.pool, "poller", "new", 60).take([CONTACT.kind], 1)
    resync = await resyncs.next(CONTACT.kind)
    assert resync
    assert (resync.id, resync.wanted, resync.position, resync.read) == (number, wanted, None, 0)
    await resyncs.store(lease, resync, Step({"at": 1}, 10, 5))
    with pytest.raises(LeaseLost):
        await resyncs.store(old, resync, Step({"at": 9}, 90, 0))
    [now] = await resyncs.get([number])
    assert (now.position, now.read, now.remaining, now.done_at) == ({"at": 1}, 10, 5, None)
    await resyncs.store(lease, now, Step({"at": 2}, 5, 0, done=True))
    assert await resyncs.next(CONTACT.kind) is None
    [done] = await resyncs.get([number])
    assert (done.read, done.done_at is not None, done.why) == (15, True, None)


async def test_who_asks_again_before_it_is_begun_asks_once_and_the_oldest_comes_first(call: OnCall) -> None:
    resyncs, everything = Resyncs(call.pool), Wanted(CONTACT.kind)
    first = await resyncs.ask(everything)
    assert await resyncs.ask(everything) == first
    other = await resyncs.ask(Wanted(CONTACT.kind, ids=("1",)))
    [lease] = await Leases(call.pool, "poller", "p", 60).take([CONTACT.kind], 1)
    resync = await resyncs.next(CONTACT.kind)
    assert resync
    assert resync.id == first
    await resyncs.store(lease, resync, Step({"at": 1}))
    assert await resyncs.ask(everything) not in (first, other)
    assert await resyncs.next(ACCOUNT.kind) is None


async def test_what_was_cancelled_stays_so_though_a_page_was_in_hand(call: OnCall) -> None:
    resyncs = Resyncs(call.pool)
    number = await resyncs.ask(Wanted(CONTACT.kind))
    [lease] = await Leases(call.pool, "poller", "p", 60).take([CONTACT.kind], 1)
    resync = await resyncs.next(CONTACT.kind)
    assert resync
    assert (await call.told("resync", "--cancel", str(number)))["cancelled"] == [number]
    await resyncs.store(lease, resync, Step({"at": 1}, 10))
    assert await resyncs.next(CONTACT.kind) is None
    [ended] = await resyncs.get([number])
    assert ended.why == "cancelled"
    assert "was done already" in (await call.say("resync", "--cancel", str(number))).output


async def test_it_is_asked_for_by_object_by_record_or_as_a_whole(call: OnCall) -> None:
    told = await call.told("resync", "--object", "Contact", "--since", "2h", "--no-wait")
    assert [each["object"] for each in told["resyncs"]] == ["salesforce/Contact"]
    one = await call.told("resync", "--record", f"Contact/{CONTACT.id}", "--no-wait")
    [asked] = await Resyncs(call.pool).get([one["resyncs"][0]["number"]])
    assert asked.wanted == Wanted(CONTACT.kind, ids=(CONTACT.id,))
    everything = await call.told("resync", "--all", "--no-wait")
    assert len(everything["resyncs"]) == 4
    waiting = await call.told("status", "--quick")
    assert len(waiting["resyncs"]) == 6
    assert (
        "resync        1 of salesforce/Contact: 0 records read so far" in (await call.say("status", "--quick")).output
    )


async def test_nothing_named_and_what_cannot_be_read_are_refused_with_the_next_step(
    call: OnCall, tmp_path: Path
) -> None:
    assert "--all" in (await call.say("resync")).stderr
    (tmp_path / "stream.yaml").write_text(PIPELINES.replace("\npipelines:", STREAM, 1))
    refused = await call.say(
        "resync", "--object", "order", "--no-wait", SYNCLINE_PIPELINES=str(tmp_path / "stream.yaml")
    )
    assert refused.exit_code == 1
    assert "shop.order sends its changes by itself" in refused.stderr
    assert "syncline replay --object" in refused.stderr
    whole = await call.say("resync", "--all", "--no-wait", SYNCLINE_PIPELINES=str(tmp_path / "stream.yaml"))
    assert whole.exit_code == 0, whole.output


async def test_rebuild_tells_every_pair_that_is_one_under_both_names(call: OnCall) -> None:
    links = Links(call.pool)
    company = Ref("hub", "company", "c/9")
    assert all(
        await links.save(
            [
                Link(Side(CONTACT, "v1", {}), Side(CUSTOMER, "v2", {})),
                Link(Side(company, "", {}), Side(ACCOUNT, "v3", {})),
                Link(
                    Side(Ref(*CONTACT.kind, "gone"), "v1", {}), Side(Ref(*CUSTOMER.kind, "x"), "", {}), ended="deleted"
                ),
                Link(Side(Ref("hub", "other", "1"), "", {}), Side(Ref("salesforce", "Other", "1"), "", {})),
            ]
        )
    )
    for _ in range(2):  # it may be repeated
        told = await call.told("rebuild", "--no-wait")
        assert (told["links"], told["other_links"], told["streams"]) == (2, 2, [])
    assert {each["object"] for each in told["resyncs"]} == {str(kind) for kind in sources()}
    assert len(await Resyncs(call.pool).unfinished()) == 4
    messages = await call.on(call.settings.names.results)
    found = {(each.key.decode(), Result.decode(each.value)) for each in messages}
    pairs = {key: {str(result.source), str(result.target)} for key, result in found}
    assert pairs == {
        **{key: {str(CONTACT), str(CUSTOMER)} for key in (str(CONTACT), str(CUSTOMER))},
        **{key: {str(company), str(ACCOUNT)} for key in (str(company), str(ACCOUNT))},
    }
    assert {(result.outcome, result.ended) for _, result in found} == {("unchanged", False)}
    assert len(messages) == 8


def sources() -> set[Object]:
    return {CONTACT.kind, ACCOUNT.kind, CUSTOMER.kind, Object("hub", "company")}
