"""Pools of connections, each made with what the files hold by then; and where asyncpg's own errors end: each becomes
the reaction that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from syncline.contracts.errors import Fatal, Transient
from syncline.runtime import tls
from syncline.runtime.secret import read_file
from syncline.runtime.security import Tls

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


REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
SETTING = "check SYNCLINE_DATABASE_URL, or the url in pipelines.yaml"
MALFORMED = "the database URL cannot be read; it must be postgresql://user:password@host:port/name"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""libpq's sslmode ("SSL Support" in PostgreSQL's documentation)."""

Url = SecretStr | str
"""postgresql://user:password@host:port/name?option=value; a Renewed one is read anew for each connection, and so are
the files that it names: sslrootcert, sslcert, sslkey, and `password_file`, which is ours."""


class Target(NamedTuple):
    """A URL, taken apart: what asyncpg is given, and what it does not know."""

    url: str
    password_file: Path | None
    mode: str | None
    tls: Tls


def new_pool(url: Url, *, application: str, least: int, most: int, **options: Any) -> Any:
    """A pool that is not connected yet; its first connections, and later ones where they are asked for, raise
    Transient or Fatal, never showing the URL's password. Raises Fatal for a URL, or files, that cannot be used."""
    target = _target(url)
    if found := [*_faults(target)]:
        raise Fatal(f"the database at {place(target.url)}: {'; '.join(found)}")
    settings = {"application_name": application}
    return asyncpg.create_pool(
        min_size=least, max_size=most, connect=_Connecting(url), server_settings=settings, **options
    )


class _Connecting:
    """Opens each of a pool's connections. Who was let in before is no wrong configuration when refused: its password is
    being changed, and the files will say so in a moment."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._let_in = False

    async def __call__(self, *_: Any, **options: Any) -> Any:
        target = _target(self._url)
        where = f"PostgreSQL at {place(target.url)}"
        own = {"password": read_file(target.password_file)} if target.password_file else {}
        try:
            made = await asyncpg.connect(target.url, **own, **options)
        except REFUSED as error:
            kind = Transient if self._let_in else Fatal
            raise kind(f"{where} refused the connection: {error}; {SETTING}") from None
        except asyncpg.PostgresError as error:
            kind = Transient if str(error.sqlstate)[:2] in PASSES else Fatal
            shown = f"; it was shown the certificate {target.tls.certificate}" if target.tls.certificate else ""
            said = "; ".join(_faults(target)) or f"{error.sqlstate}: {error}{shown}"
            raise kind(f"{where} refused the connection: {said}") from None
        except (OSError, TimeoutError) as error:
            why = tls.why(error, target.tls, urlsplit(target.url).hostname or "")
            why = why or "; ".join(_faults(target)) or f"{type(error).__name__}: {error}"
            raise Transient(f"{where} cannot be reached: {why}") from None
        except ValueError:
            raise Fatal(MALFORMED) from None
        self._let_in = True
        return made


def place(url: str) -> str:
    """A database URL without user, password and options, fit to be shown."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'local socket'}{parts.path}"


def _target(url: Url) -> Target:
    """Raises Transient where the URL lies in a file that cannot be read, Fatal where it can and is none."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise Fatal(MALFORMED) from None
    files = {name: Path(options[name]) for name in ("sslrootcert", "sslcert", "sslkey") if name in options}
    own = Tls(ca=files.get("sslrootcert"), certificate=files.get("sslcert"), key=files.get("sslkey"))
    password = options.pop("password_file", None)
    if password is not None:
        text = urlunsplit(parts._replace(query=urlencode(options)))
    return Target(text, Path(password) if password else None, options.get("sslmode"), own)


def _faults(target: Target) -> Iterator[str]:
    mode, own = target.mode, target.tls
    if mode not in (None, *MODES):
        yield f"sslmode={mode}: must be one of {', '.join(MODES)}"
    if own.ca and mode not in ("require", "verify-ca", "verify-full"):
        yield "sslrootcert: has no effect without sslmode=verify-full, which checks the server's certificate and name"
    if mode in ("verify-ca", "verify-full") and not own.ca:
        yield f"sslmode={mode}: name the file of the authorities to trust by sslrootcert"
    if (own.certificate is None) != (own.key is None):
        yield "sslcert and sslkey: give both or neither"
    elif mode != "disable":
        yield from tls.faults(own, datetime.now(UTC))
    if target.password_file:
        try:
            read_file(target.password_file)
        except Transient as error:
            yield f"password_file: {error}"
