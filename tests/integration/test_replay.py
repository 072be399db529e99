"""`syncline replay` by itself: what it sends, where, how far ahead, and how it goes on after any end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.config.load import load
from syncline.contracts.ref import Ref
from syncline.contracts.replay import Replay
from syncline.replay.run import Order, Running
from syncline.replay.run import replay as run_replay
from syncline.replay.selection import Selection, select
from syncline.runtime.admin import asking
from syncline.runtime.lag import committed
from tests.conftest import FreshDatabase
from tests.integration.oncall import CONFIG, OnCall, on_call
from tests.unit.timeline.world import CONTACT, PIPELINES, change

COUNT = 60


@pytest.fixture
async def call(
    kafka_address: str, topic_prefix: str, fresh_database: FreshDatabase, tmp_path: Path
) -> AsyncIterator[OnCall]:
    async with on_call(kafka_address, topic_prefix, fresh_database, tmp_path, pipelines=PIPELINES) as call:
        topic = call.settings.names.changes(CONTACT.kind)
        refs = [Ref(*CONTACT.kind, f"003{number:012}AAA") for number in range(COUNT)]
        await call.publish(*((topic, ref.id, change(ref).encode()) for ref in refs))
        yield call


async def replayed(call: OnCall, selection: Selection | None, *, stop_after: int | None = None, **more: Any) -> Running:
    """Without the services nothing is ever written, so that it is not waited for."""
    stop = asyncio.Event()

    def tell(running: Running) -> None:
        if stop_after is not None and running.sent >= stop_after:
            stop.set()

    order = Order(**{"name": "test", "selection": selection, "window": 10 * COUNT, "wait": False, **more})
    return await run_replay(order, call.settings, load(call.settings.pipelines, {}), stop=stop, tell=tell)


async def on_replay(call: OnCall) -> list[Any]:
    return await call.on(call.settings.names.replay)


def contents(records: list[Any]) -> Counter[tuple[Any, ...]]:
    return Counter((each.partition, each.key, each.value) for each in records)


async def test_the_events_are_sent_as_they_were_to_the_partition_where_they_were(call: OnCall) -> None:
    done = await replayed(call, select(CONFIG, pipelines=["contact-to-customer"]))
    assert (done.read, done.total, done.sent, done.finished) == (COUNT, COUNT, COUNT, True)
    sent = await on_replay(call)
    assert contents(sent) == contents(await call.on(call.settings.names.changes(CONTACT.kind)))
    said = {Replay.of(each.headers) for each in sent}
    assert said == {Replay(kept=True, pipelines=frozenset({"contact-to-customer"}))}


async def test_one_record_is_one_message_and_another_time_is_another_replay(call: OnCall) -> None:
    named = select(CONFIG, records=["Contact/003000000000007AAA"])
    for times in (1, 2):
        done = await replayed(call, named)
        assert done.sent == 1
        assert [each.key for each in await on_replay(call)] == [b"003000000000007AAA"] * times


async def test_what_came_after_it_began_is_not_its_own(call: OnCall) -> None:
    """Else a replay beside live traffic would run after it for ever."""
    stopped = await replayed(call, select(CONFIG), stop_after=1)
    assert 0 < stopped.read < COUNT
    await call.publish((call.settings.names.changes(CONTACT.kind), "new", change(CONTACT).encode()))
    on = await replayed(call, None)
    assert (on.resumed, on.finished, stopped.read + on.read) == (True, True, COUNT)
    assert contents(await on_replay(call)).total() == COUNT


async def test_it_goes_on_with_what_it_was_begun_for(call: OnCall) -> None:
    selection = select(CONFIG, pipelines=["contact-to-customer"])
    await replayed(call, selection, stop_after=1)
    assert (await replayed(call, selection)).resumed
    sent = await on_replay(call)
    assert len(sent) == COUNT
    assert {Replay.of(each.headers).pipelines for each in sent} == {frozenset({"contact-to-customer"})}


async def test_no_more_than_a_window_is_under_way_while_the_mapper_stands_still(call: OnCall) -> None:
    """The changes themselves wait for the mapper too: they are live traffic, and come first."""
    waiting = asyncio.create_task(replayed(call, select(CONFIG), window=COUNT - 1, name="waits"))
    done, _ = await asyncio.wait({waiting}, timeout=1.5)
    assert not done
    assert await on_replay(call) == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_command_line_stops_says_how_to_go_on_and_goes_on(call: OnCall) -> None:
    told = await call.told("replay", "--object", "Contact", "--no-wait", "--name", "n")
    assert (told["replayed"], told["finished"], told["resume"]) == (COUNT, True, None)
    unknown = await call.say("replay", "--resume", "n")
    assert unknown.exit_code == 1
    assert "no replay n was left unfinished" in unknown.stderr
    await replayed(call, select(CONFIG), stop_after=1, name="other")
    taken = await call.say("replay", "--pipeline", "contact-to-customer", "--name", "other")
    assert taken.exit_code == 1
    assert "syncline replay --resume other" in taken.stderr
    on = await call.say("replay", "--resume", "other", "--no-wait", "--json")
    assert json.loads(on.stdout)["finished"]


async def test_offsets_and_times_cut_what_is_read(call: OnCall) -> None:
    [first, *_] = await call.on(call.settings.names.changes(CONTACT.kind))
    number = first.partition
    there = [each for each in await call.on(first.topic) if each.partition == number]
    offset = f"{number}:{there[2].offset}"
    told = await call.told("replay", "--object", "Contact", "--from-offset", offset, "--no-wait")
    assert told["replayed"] == len(there) - 2
    assert (await call.told("replay", "--until", "1h", "--no-wait"))["replayed"] == 0
    assert (await call.told("replay", "--since", "1h", "--no-wait"))["replayed"] == COUNT


async def test_so_many_records_that_no_bookmark_holds_them_are_refused_before_anything_is_sent(call: OnCall) -> None:
    refs = frozenset(Ref(*CONTACT.kind, f"003{number:012}AAA") for number in range(COUNT))
    many = replace(select(CONFIG, objects=["Contact"]), refs=refs | {Ref(*CONTACT.kind, "x" * 4000)})
    with pytest.raises(Exception, match="more records than can be replayed at once"):
        await replayed(call, many)
    assert await on_replay(call) == []


async def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(call: OnCall) -> None:
    """It waits for the mapper, which does not run."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from syncline.cli.main import main; main()"),
        *("replay", "--name", "interrupted", "--window", "1"),
        env={**os.environ, **call.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    group = call.settings.names.replaying("interrupted")
    async with asyncio.timeout(30), asking(call.settings.kafka) as admin:
        while not await committed(admin, group):
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, said = await process.communicate()
    assert process.returncode == 130, said.decode()
    assert f"stopped after 0 of {COUNT} messages; go on with: syncline replay --resume interrupted" in out.decode()
    assert b"Traceback" not in said
    assert (await call.told("replay", "--resume", "interrupted", "--no-wait"))["replayed"] == COUNT
