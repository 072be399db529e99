"""Errors named for the reaction that they ask for.

Drivers' own errors (aiohttp, aiokafka, asyncpg) are wrapped at the adapter that meets them and never travel
further, so that a caller decides by type alone: wait, log in again, set one record aside, or stop.
"""

from __future__ import annotations


class SynclineError(Exception):
    """Base of all; the message says what, where, and what to do next. It never holds a secret."""


class Transient(SynclineError):
    """It may work later: wait and repeat the same call. `retry_after`: seconds, None without a hint."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Transient):
    """The peer's quota or rate is used up: slow down everyone who shares it, then repeat."""


class SessionExpired(SynclineError):
    """The credentials were good and are no longer: refresh once, shared by all callers, then repeat."""


class RecordRejected(SynclineError):
    """One record cannot be accepted as it is; its neighbours can. It goes to the dead letters.

    `code` is the peer's (Salesforce's statusCode, PostgreSQL's SQLSTATE) or ours; `fields` the names it blames;
    `remedy` what a person can do about it.
    """

    def __init__(self, message: str, *, code: str, fields: tuple[str, ...] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields
        self.remedy = remedy


class DuplicateDetected(RecordRejected):
    """The target takes the record for one that it has; `matches` are the ids of the records it resembles."""

    def __init__(
        self, message: str, *, code: str, fields: tuple[str, ...], remedy: str, matches: tuple[str, ...]
    ) -> None:
        super().__init__(message, code=code, fields=fields, remedy=remedy)
        self.matches = matches


class Malformed(RecordRejected):
    """Bytes that do not hold to a contract: not JSON, a missing attribute, a wrong type."""

    def __init__(self, message: str, *, fields: tuple[str, ...] = ()) -> None:
        super().__init__(
            message,
            code="MALFORMED",
            fields=fields,
            remedy="Send what the published JSON Schema asks for; the dead letter holds the bytes as they came.",
        )


class Fatal(SynclineError):
    """Nothing that this process can do will help (wrong configuration, no permission, missing migration): stop."""
