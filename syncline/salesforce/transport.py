"""All that knows of aiohttp: a request's bytes out, a reply's bytes back, its errors named by reaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from syncline.contracts.errors import Fatal, Transient
from syncline.salesforce.errors import OutcomeUnknown
from syncline.salesforce.protocol import Method, Reply

CONNECT_TIMEOUT = 10.0
"""Seconds."""


class Transport(Protocol):
    async def __call__(self, method: Method, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Raises OutcomeUnknown, Transient when nothing was sent, Fatal."""


class HttpTransport:
    """Over one aiohttp session, which the caller opens and closes.

    concurrency: calls at once; Salesforce bounds those that take over 20 seconds to 25 an org.
    timeout: seconds for one whole call; Salesforce itself gives up a query after 120.
    """

    def __init__(self, session: aiohttp.ClientSession, *, concurrency: int = 10, timeout: float = 130.0) -> None:
        self._session = session
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)

    async def __call__(self, method: Method, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            async with (
                self._slots,
                self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body,
                    timeout=self._timeout,
                    allow_redirects=False,  # a redirect would carry the token to another host
                    raise_for_status=False,
                ) as response,
            ):
                content = await response.read()
                return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Fatal(f"the certificate of {host} is not trusted: name its authority in ca_file") from error
        except ValueError as error:
            raise Fatal(f"{host} is no address of a Salesforce org: check login_url") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Transient(f"{host} cannot be reached: check DNS, network and proxy") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = "did not answer in time" if isinstance(error, TimeoutError) else "broke the connection"
            raise OutcomeUnknown(f"{host} {what}; whether it carried out the call is unknown") from error
