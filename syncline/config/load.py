"""Reading pipelines.yaml: variables filled in, every error with the line that it stands on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
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
    return parse(text, name=str(path), environ=environ)


def parse(text: str, *, name: str, environ: Mapping[str, str]) -> Config:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Fatal(f"{name}: not YAML: {error}") from error
    missing: list[str] = []
    filled = _fill(document, environ, missing)
    if missing:
        raise Fatal(f"{name}: set the environment variables {', '.join(sorted(set(missing)))}")
    try:
        return Config.model_validate(filled)
    except ValidationError as error:
        faults = [
            f"{name}:{_line(node, fault['loc'])}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        ]
        raise Fatal("\n".join(faults)) from None


def _fill(value: Any, environ: Mapping[str, str], missing: list[str]) -> Any:
    """`${NAME}` and `${NAME:-default}` in any text; the names without a value are added to `missing`."""
    if isinstance(value, str):

        def found(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name not in environ and default is None:
                missing.append(name)
            return environ.get(name, default or "")

        return _VARIABLE.sub(found, value)
    if isinstance(value, dict):
        return {key: _fill(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environ, missing) for item in value]
    return value


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
