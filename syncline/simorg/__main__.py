"""Runs one org as a process of its own: `python -m syncline.simorg`.

Prints one line of JSON with its address when it is ready, and ends cleanly on SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path
from random import Random
from secrets import token_urlsafe

import click

from syncline.simorg.metadata import DEMO, STANDARD, Schema
from syncline.simorg.org import Options, Org
from syncline.simorg.server import HOST, serve

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--host", default=HOST, show_default=True, help="Listen on this address; 0.0.0.0 in a container.")
@click.option("--port", default=0, show_default=True, help="0 takes a free port.")
@click.option("--schema", type=_FOLDER, default=STANDARD, help="Folder of describe files; the shipped one by default.")
@click.option("--overlay", "overlays", type=_FOLDER, multiple=True, help="Folder laid over it; repeatable.")
@click.option("--demo", is_flag=True, help="Lay the demo's custom fields over it.")
@click.option("--tls", type=_FOLDER, help="Serve https; cert.pem and key.pem are made in this folder if missing.")
@click.option("--quota", default=100_000, show_default=True, help="API requests in 24 hours.")
@click.option("--latency", default=0.0, show_default=True, help="Seconds that each call takes at least.")
@click.option("--client-id", default="simorg", show_default=True)
@click.option("--client-secret-file", type=_FILE, help="Holds the secret of the client credentials flow.")
@click.option("--jwt-public-key", type=_FILE, help="PEM; turns the JWT bearer flow on.")
@click.option("--username", default="integration@simorg.example", show_default=True)
@click.option("--session-idle", default=7200, show_default=True, help="Seconds until an unused session ends.")
@click.option("--allow-parent-cycles", is_flag=True, help="Take circular hierarchies, which Salesforce refuses.")
@click.option("--seed", type=int, help="Of the dice for faults and latency.")
def main(
    host: str,
    port: int,
    schema: Path,
    overlays: tuple[Path, ...],
    demo: bool,
    tls: Path | None,
    quota: int,
    latency: float,
    client_id: str,
    client_secret_file: Path | None,
    jwt_public_key: Path | None,
    username: str,
    session_idle: int,
    allow_parent_cycles: bool,
    seed: int | None,
) -> None:
    """A simulated Salesforce org on this machine."""
    if client_secret_file is None and jwt_public_key is None:
        raise click.UsageError("nobody could log in: give --client-secret-file or --jwt-public-key")
    try:
        loaded = Schema.load(schema, *([DEMO] if demo else []), *overlays)
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc
    options = Options(
        client_id=client_id,
        client_secret=client_secret_file.read_text().strip() if client_secret_file else token_urlsafe(),
        jwt_public_key=jwt_public_key.read_text() if jwt_public_key else None,
        username=username,
        session_idle=timedelta(seconds=session_idle),
        quota=quota,
        latency=latency,
        allow_parent_cycles=allow_parent_cycles,
    )
    org = Org(loaded, rng=Random(seed), options=options)  # noqa: S311 - dice for faults, not secrets
    asyncio.run(_run(org, host, port, tls))


async def _run(org: Org, host: str, port: int, tls: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(org, host=host, port=port, tls=tls) as url:
        ready = {"url": url, "client_id": org.options.client_id, "username": org.options.username}
        click.echo(json.dumps(ready | ({"ca": str(tls / "cert.pem")} if tls else {})))
        await stop.wait()


if __name__ == "__main__":
    main()
