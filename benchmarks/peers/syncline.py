"""With Syncline's engine and second hop as they ship; only the topics are not the usual two, but one for all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.waiting import RESULT
from services.mapper.engine import Effects, Hop, Input, Reader
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import Engine
from services.mapper.join import HELD, SYNCED_TABLE, Join
from syncline.contracts.topics import Names
from syncline.runtime.process import run
from syncline.runtime.tuning import tune


async def main(stop: asyncio.Event, kafka: str, topic: str, output: str, state_dir: str) -> None:
    names = Names(output.removesuffix(".commands.hub"))
    join = Join(names)

    def named(record: Input) -> Input:
        """The hop tells results by their topic."""
        return Input(
            names.results, record.partition, record.offset, record.key, record.value, record.timestamp, record.headers
        )

    def both(batch: Sequence[Input], stored: Reader) -> Effects:
        return join.run([named(each) if (each.value or b"").startswith(RESULT) else each for each in batch], stored)

    settings = EngineSettings(kafka=kafka, app_id=names.mapper, partitions=4, state_dir=Path(state_dir))
    tune()
    await Engine(settings, [Hop("join", (topic,), (SYNCED_TABLE, HELD), both)]).run(stop)


if __name__ == "__main__":
    sys.exit(
        run(lambda stop: main(stop, *sys.argv[1:]), service="bench", instance="syncline", level="info", format="json")
    )
