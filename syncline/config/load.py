"""Reading pipelines.yaml: variables filled in, every error with the line that it stands on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from syncline.config.model import Config
from syncline.contracts.errors import Fatal

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Raises Fatal that lists each fault as `file:line: place: what`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}; name another file by SYNCLINE_PIPELINES") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"cannot read {path}: it is not UTF-8 text") from error
    return parse(text, name=str(path), environ=environ)


def parse(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    """As `load`; `name` stands for the file."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # without the text around it, which may hold a secret
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Fatal(f"{name}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Fatal(f"{name}: not YAML: {error}") from None
    if repeated := [f"{name}:{line}: {key} is given twice" for line, key in _repeated(node)]:
        raise Fatal("\n".join(repeated))
    missing: list[str] = []
    filled = _fill(document, environ, missing)
    if missing:
        raise Fatal(f"{name}: set the environment variables {', '.join(sorted(set(missing)))}")
    try:
        return Config.model_validate(filled)
    except ValidationError as error:
        faults = [
            f"{name}:{_line(node, fault['loc'])}: {_place(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False)
        ]
        raise Fatal("\n".join(faults)) from None


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


def _repeated(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that a mapping has twice: YAML would drop the first, and with it a field or a whole pipeline, unseen."""
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, child in node.value:
            if key.value in keys:
                yield key.start_mark.line + 1, key.value
            keys.add(key.value)
            yield from _repeated(child)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated(child)


def _place(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place)) or "the whole file"


def _line(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `place` that is in the file; pydantic adds parts of its own (union tags)."""
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if key.value == str(part):
                    node, line = child, key.start_mark.line + 1
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
