"""Where asyncpg's own errors end: each becomes the reaction that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from syncline.contracts.errors import Fatal, Transient

PASSES = ("08", "40", "53", "55", "57", "58", "XX")
"""SQLSTATE classes after which the same statement may work: connection, rollback (deadlock, serialization),
resources, object in use, operator (shutdown, cancel), system, internal. PostgreSQL's appendix "Error Codes"."""


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Raises Transient or Fatal that starts with `doing`, for whatever asyncpg raises inside."""
    try:
        yield
    except asyncpg.PostgresError as error:
        # The first argument alone: the detail, which str() adds, quotes the row's data.
        said = f"{doing}: PostgreSQL says {error.sqlstate}: {error.args[0] if error.args else ''}"
        if str(error.sqlstate)[:2] in PASSES or isinstance(error, asyncpg.InvalidCachedStatementError):
            raise Transient(said) from error
        raise Fatal(said) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, ValueError):  # asyncpg's own refusal of an argument
            raise Fatal(f"{doing}: {error}") from error
        raise Transient(f"{doing}: PostgreSQL cannot be reached: {type(error).__name__}: {error}") from error
