"""What this machine must offer a local stack: a folder with room in it, free ports, an account for PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syncline.contracts.errors import Fatal
from syncline.local.guard import Account

Say = Callable[[str], None]
"""Told what is going on, one line at a time, for a person to read."""

LOCAL_DIR_VARIABLE = "SYNCLINE_LOCAL_DIR"
NEEDED_BYTES = 1_000_000_000  # jars 45 MB, PostgreSQL 80 MB, the rest is room for topics and tables

# Below the range from which Linux (32768) and macOS (49152) take the source ports of outgoing connections: else, while
# a server restarts, a client that keeps connecting to its port can be given that very port, connect to itself and
# keep the server out.
_PORTS = range(20_000, 32_000)


def quiet(_: str) -> None:
    """A `Say` for those who do not want to know."""


def local_dir() -> Path:
    """Where local data lives: $SYNCLINE_LOCAL_DIR, else `.local` below the working directory.

    Run by root in a folder that others may not enter (/root, say) it is /var/lib/syncline: PostgreSQL refuses to run
    as root and the account that it runs as must be able to reach its data.
    """
    if configured := os.environ.get(LOCAL_DIR_VARIABLE):
        return Path(configured).absolute()
    if server_account() and not open_to_others(Path.cwd()):
        return Path("/var/lib/syncline")
    return Path.cwd() / ".local"


@contextmanager
def run_dir(parent: Path | None = None, *, name: str = "run") -> Iterator[Path]:
    """A new folder for the data of one run, removed at its end.

    A run that was killed cannot remove its folder, so the next one does: beside each folder lies a lock file, and the
    system lets go of a lock when its owner dies.
    """
    parent = make_dir(parent or local_dir())
    _remove_dead_runs(parent)
    path = parent / f"{name}-{secrets.token_hex(4)}"
    lock_path = path.with_suffix(".lock")
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield make_dir(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def make_dir(path: Path) -> Path:
    """Create a folder, and its parents, with room for a stack; Fatal when that cannot be. Returns its absolute path."""
    path = path.absolute()
    # 0o711: the account of `server_account` may pass through to its own data, not look around.
    mode = 0o711 if server_account() else 0o700
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)
    except OSError as exc:
        raise Fatal(f"the data folder {path} cannot be created: {exc}; set {LOCAL_DIR_VARIABLE} to another") from exc
    if not os.access(path, os.W_OK | os.X_OK):
        raise Fatal(f"the data folder {path} is not writable; set {LOCAL_DIR_VARIABLE} to one that is")
    free = shutil.disk_usage(path).free
    if free < NEEDED_BYTES:
        raise Fatal(
            f"no room for a local stack in {path}: {free // 1_000_000} MB are free, {NEEDED_BYTES // 1_000_000} MB "
            f"are needed; make room or set {LOCAL_DIR_VARIABLE} to another folder"
        )
    return path


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    for _ in range(100):
        port = secrets.choice(_PORTS)
        if not _taken(port):
            return port
    raise Fatal(f"no free port between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1: end what occupies them")


def require_free(port: int, owner: str) -> int:
    if _taken(port):
        raise Fatal(f"port {port} of 127.0.0.1, meant for {owner}, is taken: end its holder or choose another port")
    return port


def server_account() -> Account | None:
    """`nobody` when we are root, as whom PostgreSQL refuses to run; else None: our own account will do."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def open_to_others(path: Path) -> bool:
    """Whether any account may pass through `path` and all its parents."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _remove_dead_runs(parent: Path) -> None:
    for lock_path in parent.glob("*.lock"):
        with suppress(OSError), lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: the run lives
            shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
            lock_path.unlink()
