"""One token for all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from syncline.salesforce.auth import Token


class SharedToken:
    """However many callers need a token at once, there is one login, and all of them get its token or its error."""

    def __init__(self, log_in: Callable[[], Awaitable[Token]]) -> None:
        self._log_in = log_in
        self._token: Token | None = None
        self._login: asyncio.Future[Token] | None = None

    async def get(self, expired: Token | None = None) -> Token:
        """expired: the very token that Salesforce refused; another one that was got meanwhile is given instead."""
        if self._token is not None and self._token is not expired:
            return self._token
        if self._login is None:
            self._token = None
            self._login = asyncio.ensure_future(self._log_in())
            self._login.add_done_callback(self._settle)
        # A caller that is cancelled must not end the login that others wait for.
        return await asyncio.shield(self._login)

    def _settle(self, login: asyncio.Future[Token]) -> None:
        self._login = None
        if not login.cancelled() and login.exception() is None:
            self._token = login.result()
