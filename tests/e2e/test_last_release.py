"""Up from the last release and back again, one stage at a time, while people work.

git worktree add ../last v0.1.0 && SYNCLINE_LAST_RELEASE=../last make soak
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncline.local.demo.run import Story
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole
from tests.e2e.people import People, at_work, check_end_state, small

LAST = os.environ.get("SYNCLINE_LAST_RELEASE", "")
UP, DOWN = ("writer", "mapper", "poller"), ("poller", "mapper", "writer")


async def worked_on(told: Story, people: People) -> None:
    rounds = people.rounds + 2
    await told.until(lambda: people.rounds >= rounds, "people to have worked on")


@pytest.mark.soak
@pytest.mark.skipif(not LAST, reason="SYNCLINE_LAST_RELEASE names no checkout of the last release")
async def test_stages_of_two_releases_work_side_by_side(whole: Whole) -> None:
    data = small(77)
    async with whole() as told:

        async def start(service: str, *, last: bool) -> None:
            told.system.environ["PYTHONPATH"] = str(Path(LAST).resolve()) if last else ""
            await told.system.start(service)

        await told.fill(data)
        for service in SERVICES:
            await start(service, last=True)
        async with at_work(told, data, seed=77) as people:
            for service, last in [*((each, False) for each in UP), *((each, True) for each in DOWN)]:
                await worked_on(told, people)
                await told.system.services.pop(f"{service}-0").stop(grace=40)
                await start(service, last=last)
        await check_end_state(told, people)
