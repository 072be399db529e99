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
from syncline.config.model import Config, Filled
from syncline.config.overrides import overridden
from syncline.contracts.errors import Fatal, Transient
from syncline.runtime.secret import read_file

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
    try:
        filled = _fill(document, environ, missing)
    except Transient as error:
        raise Fatal(str(error)) from error
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

    As in a shell, the default also stands in for a value that is empty. Text that a file has a part in is Filled.
    Raises Transient for a file that cannot be read.
    """
    if isinstance(value, str):

        def found(match: re.Match[str]) -> str:
            name, default = match.groups()
            given = _given(name, environ)
            if given is None and default is None:
                missing.append(name)
            return given or default or ""

        text = _VARIABLE.sub(found, value)
        renewed = any(_file(name, environ) for name, _ in _VARIABLE.findall(value))
        return Filled(text, lambda: _VARIABLE.sub(found, value)) if renewed else text
    if isinstance(value, dict):
        return {key: _fill(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environ, missing) for item in value]
    return value


def _given(name: str, environ: Mapping[str, str]) -> str | None:
    """The variable, else what is in the file that <name>_FILE names: a secret need not be in the environment."""
    path = _file(name, environ)
    if not path:
        return environ.get(name)
    try:
        return read_file(path)
    except Transient as error:
        raise Transient(f"{name}_FILE: {error}") from None


def _file(name: str, environ: Mapping[str, str]) -> str | None:
    return None if name in environ else environ.get(f"{name}_FILE") or None


def _place(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place)) or "the whole file"
