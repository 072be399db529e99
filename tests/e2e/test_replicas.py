"""Two of each service share the work; one of each leaves half way, as in a rolling update."""

from __future__ import annotations

import asyncio
import re

from syncline.local.processes import Child
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole
from tests.e2e.people import at_work, check_end_state, small

TOOK = {
    "poller": re.compile(r'"event": "reading"'),
    "mapper": re.compile(r'"event": "serving"'),
    "writer": re.compile(r'"event": "assigned"'),
}
"""What a replica logs when it takes a share."""


async def test_two_of_each_share_the_work_and_one_of_each_may_leave(whole: Whole) -> None:
    data = small(5)
    async with whole(partitions=4) as told:
        await told.fill(data)
        # Both at once: neither has taken everything before the other is there.
        await asyncio.gather(*(told.system.start(service, replica) for service in SERVICES for replica in (0, 1)))
        async with at_work(told, data, seed=5) as people:
            services = told.system.services
            await told.until(lambda: all(shares(each) for each in services.values()), "everyone to have a share")
            await told.until(lambda: people.rounds >= 3, "people to have worked")
            for service in SERVICES:
                code = await services.pop(f"{service}-1").stop(grace=30)
                assert code == 0, f"{service} ended with {code}"
            rounds = people.rounds
            await told.until(lambda: people.rounds >= rounds + 3, "people to have worked on")
        await check_end_state(told, people)


def shares(child: Child) -> bool:
    service = child.name.partition("-")[0]
    return any(TOOK[service].search(each) and share(each) for each in child.log_since_start().splitlines())


def share(line: str) -> bool:
    return '"partitions": []' not in line
