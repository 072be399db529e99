"""Everything running until Ctrl-C, with the addresses that a person needs to play with it."""

from __future__ import annotations

import asyncio
import random
import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path

from syncline.local.demo.data import Sizes, make
from syncline.local.demo.run import story
from syncline.local.machine import Say
from syncline.local.system import SERVICES, system


async def keep_up(folder: Path, *, say: Say, fill: bool) -> None:
    """Returns after SIGINT or SIGTERM, when all has ended. A service that dies is started again."""
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with system(folder, say=say) as running:
        if fill:
            async with story(running) as told:
                await told.fill(make(Sizes(), rng=random.Random(7), now=datetime.now(UTC)))  # noqa: S311
        for service in SERVICES:
            await running.start(service)
        settings = folder / "environment"
        settings.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in running.environ.items()))
        settings.chmod(0o600)
        say(f"simulated org: {running.org_url}")
        say(f"settings for a shell of your own: source {settings}")
        say(f"logs: {folder / 'logs'}")
        say("Ctrl-C ends it")
        while not stop.is_set():
            for name, child in running.services.items():
                if not child.alive:
                    say(f"{name} ended and is started again; its log: {child.log_path}")
                    await child.start()
            try:
                await asyncio.wait_for(stop.wait(), 1.0)
            except TimeoutError:
                continue
        say("ending")
