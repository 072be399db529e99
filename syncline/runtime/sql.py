"""SQL lives in .sql files beside the code that uses it, one named statement after another."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def statements(package: str, file: str) -> dict[str, str]:
    """`-- name: x` starts the statement x, which ends where the next name or the file does."""
    return named(files(package).joinpath(file).read_text(encoding="utf-8"))


def named(text: str) -> dict[str, str]:
    """The statements of such a file."""
    parts = _NAME.split(text)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
