"""A mapper in small, run as a process of its own so that a test may kill, stop or freeze it.

Two hops over `events` (accounts and the contacts that belong to them, with versions): `latest` keeps each record's
newest version and routes it by account, `join` lets a contact out once its account is known. Every version of every
record must appear in `joined`.

    python -m tests.integration.engine_worker '{"kafka": "127.0.0.1:9092", "prefix": "p.", "state_dir": "/tmp/x", ...}'
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from services.mapper.engine import Effects, Hop, Input, Output, Reader, View
from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import Engine
from syncline.config.settings import Settings
from syncline.runtime.process import run

TABLES = ("newest", "accounts", "held")


def event(record: str, account: str, version: int) -> bytes:
    """An account is its own account."""
    return orjson.dumps({"id": record, "account": account, "version": version})


def hops(prefix: str, *more: str) -> list[Hop]:
    def latest(batch: Sequence[Input], stored: Reader) -> Effects:
        view, outputs = View(stored), []
        for each in batch:
            assert each.key is not None
            assert each.value is not None
            change = orjson.loads(each.value)
            known = view.get("newest", each.key)
            if known is not None and int(known) > change["version"]:
                continue
            view.put("newest", each.key, b"%d" % change["version"])
            outputs.append(Output(f"{prefix}routed", change["account"].encode(), each.value))
        return Effects(view.changes, outputs)

    def join(batch: Sequence[Input], stored: Reader) -> Effects:
        view, outputs = View(stored), []
        for each in batch:
            assert each.key is not None
            assert each.value is not None
            change = orjson.loads(each.value)
            version, record = b"%d" % change["version"], change["id"].encode()
            if record == each.key:
                view.put("accounts", each.key, version)
                for key, held in view.scan("held", each.key + b"|"):
                    outputs.append(Output(f"{prefix}joined", key.partition(b"|")[2], held, each.partition))
                    view.delete("held", key)
            elif view.get("accounts", each.key) is None:
                view.put("held", b"%s|%s|%s" % (each.key, record, version), each.value)
                continue
            outputs.append(Output(f"{prefix}joined", record, each.value, each.partition))
        return Effects(view.changes, outputs)

    return [
        Hop("latest", (f"{prefix}events", *(f"{prefix}{each}" for each in more)), ("newest",), latest),
        Hop("join", (f"{prefix}routed",), ("accounts", "held"), join, private=(f"{prefix}routed",)),
    ]


def faulty(hop: Hop, poison: dict[str, str]) -> Hop:
    """`hop`, but where `poison` names it (else `latest`) a batch with one of its keys raises, has a huge output, or
    freezes the process before it goes on."""

    def run_(batch: Sequence[Input], stored: Reader) -> Effects:
        effects = hop.run(batch, stored)
        for each in batch if hop.name == poison.get("hop", "latest") else ():
            match poison.pop((each.key or b"").decode(), None):
                case "raise":
                    raise ValueError("a bug")
                case "huge":
                    effects.outputs.append(Output(effects.outputs[0].topic, b"huge", os.urandom(6_000_000)))
                case "freeze":
                    os.kill(os.getpid(), signal.SIGSTOP)
                case _:
                    pass
        return effects

    return replace(hop, run=run_)


async def main(stop: asyncio.Event, options: dict[str, Any]) -> None:
    prefix, poison, more = options.pop("prefix"), options.pop("poison", {}), options.pop("more", [])
    options.setdefault("kafka", Settings.read(os.environ).kafka)
    settings = EngineSettings(
        app_id=f"{prefix}app",
        instance=str(os.getpid()),
        **{**options, "state_dir": Path(options["state_dir"])},
    )
    engine = Engine(settings, [faulty(hop, poison) for hop in hops(prefix, *more)])
    await engine.run(stop)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.exit(
        run(lambda stop: main(stop, given), service="engine", instance=str(os.getpid()), level="info", format="console")
    )
