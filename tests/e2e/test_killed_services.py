"""Services are killed with -9 while records flow and people edit; both sides end up as if nothing had happened."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from syncline.local.demo.run import Story
from syncline.local.system import SERVICES
from tests.e2e.conftest import Whole
from tests.e2e.people import at_work, check_end_state, put_faults, small

KILLS = 3
LATENCY = "0.15"
"""Seconds that each call to Salesforce takes, as in life: a kill then often strikes in the middle of a pass."""
FAULTS = {
    "error_html": 0.03,
    "error_json": 0.03,
    "throttle": 0.03,
    "expire_session": 0.03,
    "drop_after": 0.05,
    "lock_request": 0.03,
    "lock_row": 0.05,
}


async def run(whole: Whole, victims: Sequence[str], seed: int, faults: dict[str, float]) -> dict[str, int]:
    """Returns how often each fault struck. Each victim is killed so much of the flow after the one before; right
    after it where the dice say nothing: then the next start, or the recovery of the others, is what is hit."""
    rng, data = random.Random(f"kills {seed}"), small(seed)
    async with whole(org=("--seed", str(seed), "--latency", LATENCY)) as told:
        await told.fill(data)
        await put_faults(told, faults)
        await asyncio.gather(*(told.system.start(service) for service in SERVICES))
        async with at_work(told, data, seed) as people:
            for victim in victims:
                await flowed(told, rng.choice([0, 40, 100, 200]))
                child = told.system.services[f"{victim}-0"]
                assert await child.kill() == -9
                await child.start()
            await flowed(told, 100)
        await check_end_state(told, people)
        return dict((await told.stats())["faults"])


async def flowed(told: Story, more: int) -> None:
    """Until so many more messages went over the topics."""

    def total() -> int:
        seen = told.running.seen
        return seen.events.total() + seen.commands.total() + seen.outcomes.total()

    expected = total() + more
    await told.until(lambda: total() >= expected, f"{more} messages")


@pytest.mark.parametrize("service", SERVICES)
async def test_both_sides_end_up_equal_though_one_service_is_killed_again_and_again(whole: Whole, service: str) -> None:
    await run(whole, [service] * KILLS, seed=SERVICES.index(service), faults={})


async def test_both_sides_end_up_equal_though_all_are_killed_and_salesforce_fails(whole: Whole) -> None:
    victims = [*SERVICES, *SERVICES]
    random.Random(11).shuffle(victims)
    struck = await run(whole, victims, seed=11, faults=FAULTS)
    assert {name for name, count in struck.items() if count} >= {"error_json", "drop_after", "lock_row"}
