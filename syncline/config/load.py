"""Reading pipelines.yaml: files included, values and variables of the environment filled in, every error with the line
that it stands on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syncline.config import tables
from syncline.config.files import Place, read, together
from syncline.config.model import Config
from syncline.config.overrides import overridden
from syncline.contracts.errors import Fatal

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Raises Fatal that lists each fault as `file:line: place: what`."""
    try:
        text = read(path)
    except Fatal as error:
        raise Fatal(f"{error}; name another file by SYNCLINE_PIPELINES") from error
    return parse(text, name=str(path), environ=environ)


def parse(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    """As `load`; `name` stands for the file, beside which those are that it includes."""
    written = together(text, name)
    document, variables, faults = overridden(written.document, environ)
    missing: list[str] = []
    filled = _fill(document, environ, missing)
    if missing:
        faults.append(f"{name}: set the environment variables {', '.join(sorted(set(missing)))}")
    if faults:
        raise Fatal("\n".join(faults))
    faults = tables.filled(filled, written)
    try:
        config = Config.model_validate(filled)
    except ValidationError as error:
        faults += [
            f"{_origin(fault['loc'], filled, variables) or written.line(fault['loc'])}: {_place(fault['loc'])}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False)
        ]
    if faults:
        raise Fatal("\n".join(faults))
    return config


def _origin(place: Place, document: Any, variables: Mapping[Place, str]) -> str | None:
    """The variable that said it. In `place`, pydantic's own parts (union tags) stand between those of the document."""
    at: Place = ()
    for part in place:
        children = dict(enumerate(document)) if isinstance(document, list) else document
        if isinstance(children, dict) and part in children:
            document, at = children[part], (*at, part)
            if at in variables:
                return variables[at]
    return None


def _fill(value: Any, environ: Mapping[str, str], missing: list[str]) -> Any:
    """`${NAME}` and `${NAME:-default}` in any text; the names without a value are added to `missing`.

    As in a shell, the default also stands in for a value that is empty. Raises Fatal for a file that cannot be read.
    """
    if isinstance(value, str):

        def found(match: re.Match[str]) -> str:
            name, default = match.groups()
            given = _given(name, environ)
            if given is None and default is None:
                missing.append(name)
            return given or default or ""

        return _VARIABLE.sub(found, value)
    if isinstance(value, dict):
        return {key: _fill(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environ, missing) for item in value]
    return value


def _given(name: str, environ: Mapping[str, str]) -> str | None:
    """The variable, else what is in the file that <name>_FILE names: a secret need not be in the environment."""
    path = environ.get(f"{name}_FILE")
    if name in environ or not path:
        return environ.get(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Fatal(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Fatal(f"{name}_FILE: cannot read {path}: it is not UTF-8 text") from None


def _place(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place)) or "the whole file"
