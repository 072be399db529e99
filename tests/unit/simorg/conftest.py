from __future__ import annotations

from random import Random

import pytest

from syncline.simorg import DEMO, Org, Schema
from tests.unit.simorg.world import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> Org:
    return Org(Schema.standard(DEMO), clock=clock, rng=Random(1))
