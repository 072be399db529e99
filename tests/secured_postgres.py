"""A real PostgreSQL with TLS, by the machine's own programs: those of the local stack are built without it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from signal import SIGINT
from urllib.parse import urlencode

import asyncpg

from syncline.local.machine import free_port, make_dir, server_account
from syncline.local.processes import Child, line, run
from tests.certificates import Authority, put

USER, BEARER = "ada", "grace"
"""One logs in by password, the other by a client certificate alone."""
HOST = "127.0.0.1"
RULES = f"""
hostssl   all {BEARER} {HOST}/32 cert
hostssl   all all      {HOST}/32 scram-sha-256
hostnossl all all      {HOST}/32 reject
"""


@cache
def programs() -> Path | None:
    """The folder of a PostgreSQL that was built with TLS."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve()] if on_path else []
    for program in (*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))):
        config = program.parent / "pg_config"
        said = subprocess.run([str(config), "--configure"], capture_output=True, text=True) if config.exists() else None
        if said and ("--with-openssl" in said.stdout or "--with-ssl" in said.stdout):
            return program.parent
    return None


@dataclass
class Database:
    """`folder` holds what clients are given: ca.crt, user.crt and user.key of `BEARER`, and `password`."""

    folder: Path
    port: int
    process: Child
    authority: Authority

    def url(self, user: str = USER, *, host: str = HOST, name: str = "postgres", **options: str) -> str:
        given = {
            "sslmode": "verify-full",
            "sslrootcert": str(self.folder / "ca.crt"),
            **({"password_file": str(self.folder / "password")} if user == USER else self.bearer),
            **options,
        }
        return f"postgresql://{user}@{host}:{self.port}/{name}?{urlencode({k: v for k, v in given.items() if v})}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"sslcert": str(self.folder / "user.crt"), "sslkey": str(self.folder / "user.key")}

    async def execute(self, *statements: str) -> None:
        """As the server's owner, past all that is tested."""
        connection = await asyncpg.connect(
            f"postgresql://owner@{HOST}:{self.port}/postgres?sslmode=require",
            password=(self.folder / "owner").read_text(),
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def throw_out(self) -> None:
        """Close every connection but the one that asks for it."""
        await self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    async def issue(self, authority: Authority, *, server: timedelta = timedelta(days=1)) -> None:
        """Server's and client's certificates by this authority, whom both trust alone from the next connection on."""
        self.authority = authority
        write(self.folder, authority, server)
        await self.execute("SELECT pg_reload_conf()")


def write(folder: Path, authority: Authority, server: timedelta = timedelta(days=1)) -> None:
    own, pair = authority.issue("server", HOST, until=server), authority.issue(BEARER)
    for path, content in (("server.crt", own.certificate), ("server.key", own.key), ("ca.crt", authority.pem)):
        target = put(folder / "server" / path, content)
        if account := server_account():
            shutil.chown(target, *account)
        target.chmod(0o600)
    put(folder / "ca.crt", authority.pem)
    put(folder / "user.crt", pair.certificate)
    put(folder / "user.key", pair.key)


@asynccontextmanager
async def secured_postgres(folder: Path) -> AsyncIterator[Database]:
    found, account = programs(), server_account()
    assert found is not None
    ours, port, tables = Authority("ours"), free_port(), folder / "tables"
    make_dir(folder / "server")
    write(folder, ours)
    put(folder / "owner", "owner's own")
    put(folder / "password", "hush-first")
    tables.mkdir(mode=0o700)
    (folder / "owner").chmod(0o644)
    if account:
        shutil.chown(tables, *account)
        shutil.chown(folder / "server", *account)
    begin = [str(found / "initdb"), "-D", str(tables), "-U", "owner", f"--pwfile={folder / 'owner'}"]
    await run(
        "initdb",
        [*begin, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
        log_dir=folder,
        account=account,
    )
    put(folder / "server" / "rules", RULES).chmod(0o644)
    settings = {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",
        "timezone": "UTC",
        "fsync": "off",
        "hba_file": str(folder / "server" / "rules"),
        "ssl": "on",
        "ssl_cert_file": str(folder / "server" / "server.crt"),
        "ssl_key_file": str(folder / "server" / "server.key"),
        "ssl_ca_file": str(folder / "server" / "ca.crt"),
    }
    process = Child(
        "postgres",
        [str(found / "postgres"), "-D", str(tables), "-p", str(port)]
        + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")],
        folder,
        account=account,
        ready=line("database system is ready to accept connections"),
        stop_signal=SIGINT,
    )
    await process.start()
    try:
        made = Database(folder, port, process, ours)
        await made.execute(f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD 'hush-first'", f"CREATE ROLE {BEARER} LOGIN")
        yield made
    finally:
        await process.stop()
