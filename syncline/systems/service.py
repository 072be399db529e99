"""How every service starts: environment, pipelines.yaml, the checks that need no system; then its own wiring."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from syncline.config.checks import placeholders, refuse
from syncline.config.load import load
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal
from syncline.runtime.process import FATAL, run

Main = Callable[[Settings, Config, asyncio.Event], Coroutine[Any, Any, None]]


def run_service(service: str, main: Main) -> int:
    """Returns the exit code; what is wrong with the configuration is told in plain words before anything starts."""
    try:
        settings = Settings.read(os.environ)
        config = load(settings.pipelines, os.environ)
        refuse(placeholders(config))
    except Fatal as error:
        print(f"{service}: {error}", file=sys.stderr)  # noqa: T201 - no logs before the settings are known
        return FATAL
    return run(
        lambda stop: main(settings, config, stop),
        service=service,
        instance=settings.instance,
        level=settings.log_level,
        format=settings.log_format,
    )
