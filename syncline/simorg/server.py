"""The org behind a port, of the loopback interface unless told otherwise, with TLS where a client insists on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from syncline.simorg.app import build_app
from syncline.simorg.org import Org
from syncline.simorg.tls import server_context

HOST = "127.0.0.1"
_PATIENCE = 1.0
"""Seconds that calls under way get when the server stops."""
_MAX_LINE = 65_536
"""Bytes of a request line; longer ones than Salesforce takes must arrive to be refused in its own way."""


@asynccontextmanager
async def serve(org: Org, *, host: str = HOST, port: int = 0, tls: Path | None = None) -> AsyncIterator[str]:
    """Yields the address, without a final slash. Port 0 takes a free one.

    `tls` is a folder for `cert.pem` and `key.pem`; they are made if they are not there, and clients trust `cert.pem`.
    """
    runner = web.AppRunner(
        build_app(org),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_PATIENCE,
        max_line_size=_MAX_LINE,
        max_field_size=_MAX_LINE,
    )
    await runner.setup()
    try:
        context = None if tls is None else server_context(tls, host)
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"{'http' if tls is None else 'https'}://{host}:{bound}"
    finally:
        assert runner.server is not None
        transports = [connection.transport for connection in runner.server.connections]
        await runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()  # a TLS connection would wait for its client's goodbye
        await asyncio.sleep(0)  # sockets close in the loop's next turn
