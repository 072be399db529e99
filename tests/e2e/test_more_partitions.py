"""Topics get more partitions while children are held and work is on its way: nobody is lost, doubled or overtaken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from syncline.contracts.errors import Fatal
from syncline.contracts.topics import topics
from syncline.local.demo.data import id18
from syncline.local.demo.edits import ACCOUNT, COMPANY, CONTACT, CUSTOMER
from syncline.local.demo.run import Story
from syncline.local.demo.watch import Lag, Watch
from syncline.local.system import SERVICES
from syncline.runtime.admin import add_partitions
from syncline.runtime.kafka import partition_of, partitions_of
from tests.e2e.conftest import Whole, syncline
from tests.e2e.hands import Hands, account, company, contact, customer, hands
from tests.e2e.test_once_more import counted, flowing

ORPHANS = range(20, 40)
"""Contacts, each of an Account that the hub refuses."""


async def test_held_children_and_unhandled_work_move_with_the_partitions(whole: Whole) -> None:
    async with whole() as told, hands(told) as people:
        await told.hub.execute("ALTER TABLE hub.companies ADD CONSTRAINT wary CHECK (name NOT LIKE 'Late%')")
        await people.load(ACCOUNT, *map(account, range(10)), *(account(n, Name=f"Late {n}") for n in ORPHANS))
        await people.load(CONTACT, *(contact(n, account=n % 10) for n in range(20)))
        await people.load(CONTACT, *(contact(n, account=n) for n in ORPHANS))
        await people.insert(COMPANY, *map(company, range(1, 6)))
        await people.insert(CUSTOMER, *(customer(n, company=n) for n in range(1, 6)))
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        await told.until(lambda: len(told.running.seen.held) == len(ORPHANS), "orphans to be held")
        await people.sees((CUSTOMER, "c19@mail.example", {}), (CONTACT, "k5@shop.example", {}))

        await unhandled_work(told, people)
        code, out, err = await syncline(told, "partitions", "--to", "6", "--yes")
        assert (code, "stop every poller, mapper and writer" in err) == (1, True), f"{out}\n{err}"
        await stop(told, "poller")
        moved = await partitions(told, 6, "--yes")
        assert moved["rows"]["held"] > len(ORPHANS) / 3
        assert moved["messages"]

        async with running(told, 6):
            await people.update(ACCOUNT, *({"Id": id18("001", n), "Name": "In time"} for n in ORPHANS[::2]))
            await people.sees(*((CUSTOMER, f"c{n}@mail.example", {}) for n in ORPHANS[::2]))
            await people.sees(
                *((CUSTOMER, f"c{n}@mail.example", {"title": "Third"}) for n in range(10)),
                (CONTACT, "k1@shop.example", {"Phone": "+41 1"}),
            )
            held = json.loads((await syncline(told, "held", "list", "--json"))[1])
            assert held["count"] == len(ORPHANS[1::2])

            await told.hub.execute("ALTER TABLE hub.companies DROP CONSTRAINT wary")
            assert (await syncline(told, "dead-letters", "retry", "--stage", "writer", "--yes"))[0] == 0
            await people.update(CONTACT, *({"Id": id18("003", n), "Title": "Last"} for n in range(10)))
            await people.sees(*((CUSTOMER, f"c{n}@mail.example", {}) for n in ORPHANS))
            await people.sees(*((CUSTOMER, f"c{n}@mail.example", {"title": "Last"}) for n in range(10)))
            await told.settled()
            moved = next(each for n in range(10) if len(partitions_of((each := id18("003", n)).encode(), [4, 6])) > 1)
            _, story, _ = await syncline(told, "explain", f"Contact/{moved}", "--json")
            changes = told.system.names.changes(CONTACT)
            for count in (4, 6):  # what was captured before lies where it lay
                assert f'"{changes}/{partition_of(moved.encode(), count)}/' in story
            assert await counted(people) == {ACCOUNT: 35, CONTACT: 45, COMPANY: 35, CUSTOMER: 45}
            await asyncio.gather(*(stop(told, service) for service in SERVICES))
        await added_by_somebody(told, 8)


async def unhandled_work(told: Story, people: Hands) -> None:
    """Edits before the writer, and newer ones of the same records before the mapper. The poller runs."""
    seen = told.running.seen
    await stop(told, "writer")
    before = seen.commands.total()
    await people.update(CONTACT, *({"Id": id18("003", n), "Title": "Second"} for n in range(10)))
    await people.edit(CUSTOMER, await people.id(CUSTOMER, "k1@shop.example"), "phone", "+41 1")
    await told.until(lambda: seen.commands.total() >= before + 11, "commands")
    await stop(told, "mapper")
    events = seen.events.total()
    await people.update(CONTACT, *({"Id": id18("003", n), "Title": "Third"} for n in range(10)))
    await told.until(lambda: seen.events.total() >= events + 10, "changes")


async def added_by_somebody(told: Story, count: int) -> None:
    """With Kafka's own tool: no service runs on it, whichever count it is told, and none goes wrong."""
    config = told.system.config
    wanted = [topic.name for topic in topics(told.system.names, config.sources, config.targets)]
    await add_partitions(told.system.stack.kafka_address, wanted, count)
    as_before, as_now = await asyncio.gather(
        words_of(told, "writer", told.system.partitions), words_of(told, "mapper", count)
    )
    assert f"has {count} partitions where SYNCLINE_PARTITIONS says {told.system.partitions}" in as_before
    assert "partitions were added and the rows not moved: stop all services and run `syncline partitions`" in as_now


async def words_of(told: Story, service: str, count: int) -> str:
    """The last words of one that is started with this count."""
    try:
        child = await told.system.start(service, partitions=str(count))
    except Fatal as error:
        return str(error)
    del told.system.services[f"{service}-0"]
    async with asyncio.timeout(60):
        await child.wait()
    return child.log_tail()


async def stop(told: Story, service: str) -> None:
    await told.system.services.pop(f"{service}-0").stop(grace=30)


async def partitions(told: Story, count: int, *words: str) -> Any:
    code, out, err = await syncline(told, "partitions", "--to", str(count), *words, "--json")
    assert code == 0, f"{out}\n{err}"
    return json.loads(out)


@asynccontextmanager
async def running(told: Story, count: int) -> AsyncIterator[None]:
    """All services with so many partitions, and eyes that see all of them."""
    system = told.system
    system.partitions, system.environ["SYNCLINE_PARTITIONS"] = count, str(count)
    told.watching.cancel()
    await asyncio.gather(told.watching, return_exceptions=True)
    watch = Watch(system.stack.kafka_address, system.names, flowing(told), count)
    told.running.seen, told.watching = watch.seen, asyncio.create_task(watch.run())
    lagging = [*flowing(told), system.names.mapped, system.names.requests, system.names.replay]
    counted = [topic for topic in lagging if "changelog" not in topic and topic != system.names.dead_letters]
    async with Lag(system.stack.kafka_address, system.names, counted, count) as told.lag:
        await asyncio.gather(*(system.start(service) for service in SERVICES))
        yield
    told.watching.cancel()
