"""Secrets that lie in files, and may be replaced while we run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from syncline.contracts.errors import Transient


class Renewed(SecretStr):
    """A secret that is asked for anew at each use, so that what replaced it counts from the next connection on.

    `read` may raise Transient; so may then the constructor and `get_secret_value`.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        super().__init__(read())
        self._read = read

    def get_secret_value(self) -> str:
        return self._read()


def read_file(path: str | Path) -> str:
    """What a file holds, without the blanks around it. Raises Transient: what is gone may be about to come again."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Transient(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Transient(f"cannot read {path}: it is not UTF-8 text") from None
