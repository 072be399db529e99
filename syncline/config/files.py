"""pipelines.yaml and what it includes, as one document that knows where each part of it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from syncline.contracts.errors import Fatal

PARTS = ("systems", "pipelines")
INCLUDE = "include"

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """document: as YAML gives it, `include` resolved. nodes: of each file, in the order of reading."""

    name: str
    document: Any
    nodes: list[yaml.Node] = field(default_factory=list)

    def line(self, place: Place) -> str:
        """`file:line` of the deepest part of `place` that is written; pydantic adds parts of its own (union tags)."""
        found = [_deepest(node, place) for node in self.nodes] or [(0, f"{self.name}:1")]
        return max(found, key=lambda each: each[0])[1]

    def file(self, place: Place) -> Path:
        """The file in which this part is written."""
        return Path(self.line(place).rpartition(":")[0])


def read(path: Path) -> str:
    """Raises Fatal."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"cannot read {path}: it is not UTF-8 text") from error


def together(text: str, name: str) -> Written:
    """The text of the file `name` and of all that it includes. Raises Fatal listing the faults that it finds."""
    reading = _Reading()
    document = reading.file(text, name, ())
    if reading.faults:
        raise Fatal("\n".join(reading.faults))
    return Written(name, document, reading.nodes)


class _Reading:
    def __init__(self) -> None:
        self.nodes: list[yaml.Node] = []
        self.faults: list[str] = []
        self._read: set[Path] = set()

    def file(self, text: str, name: str, within: tuple[Path, ...]) -> Any:
        """within: the files whose inclusion led here."""
        own = Path(name).resolve()
        self._read.add(own)
        node, document = _parsed(text, name)
        self.faults += [f"{where}: {key} is given twice" for where, key in _repeated(node)]
        if node is None or not isinstance(document, dict):
            self.nodes += [node] if node else []
            return document
        places = {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        included = document.pop(INCLUDE, [])
        names = [included] if isinstance(included, str) else included
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            self.faults.append(f"{_where(places[INCLUDE])}: include: must be names of files")
            names = []
        self.nodes.append(node)
        for each in names:
            where = _where(places[INCLUDE])
            path = Path(name).parent / each
            if path.resolve() in (*within, own):
                self.faults.append(f"{where}: include: {each} includes itself in the end")
            elif path.resolve() not in self._read:
                self._include(document, path, where, (*within, own))
        return document

    def _include(self, document: dict[Any, Any], path: Path, where: str, within: tuple[Path, ...]) -> None:
        try:
            text = read(path)
        except Fatal as error:
            self.faults.append(f"{where}: include: {error}")
            return
        before = len(self.nodes)
        part = self.file(text, str(path), within)
        theirs = Written(str(path), part, self.nodes[before:])
        if part is None:
            return
        if not isinstance(part, dict) or set(part) - set(PARTS):
            self.faults.append(f"{path}:1: holds `systems`, `pipelines` and `include`, nothing else")
            return
        for name, named in part.items():
            ours = document.setdefault(name, {})
            if not isinstance(named, dict) or not isinstance(ours, dict):
                self.faults.append(f"{theirs.line((name,))}: {name}: must be a mapping")
                continue
            for key in named.keys() & ours.keys():
                other = Written("", None, self.nodes[:before]).line((name, key))
                self.faults.append(f"{theirs.line((name, key))}: {name}.{key} is in {other} already")
            document[name] = {**ours, **named}


def _parsed(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Raises Fatal."""
    try:
        loader = yaml.SafeLoader(text)
        loader.name = name
        node = loader.get_single_node()
        return node, yaml.safe_load(text)  # by itself, for it resolves merge keys within the nodes
    except yaml.MarkedYAMLError as error:  # without the text around it, which may hold a secret
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Fatal(f"{name}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Fatal(f"{name}: not YAML: {error}") from None
    except ValueError as error:  # a date such as 2026-13-01
        raise Fatal(f"{name}: not YAML: {error}") from None


def _where(node: yaml.Node) -> str:
    return f"{node.start_mark.name}:{node.start_mark.line + 1}"


def _repeated(node: yaml.Node | None) -> Iterator[tuple[str, str]]:
    """Keys that a mapping has twice: YAML would drop the first, and with it a field or a whole pipeline, unseen."""
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, child in node.value:
            if key.value in keys:
                yield _where(key), key.value
            keys.add(key.value)
            yield from _repeated(child)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated(child)


def _deepest(node: yaml.Node | None, place: Place) -> tuple[int, str]:
    """How many parts of `place` are written below this node, and where the last of them is."""
    depth, where = 0, f"{node.start_mark.name}:1" if node else ""
    for part in place:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if key.value == str(part):
                    node, where, depth = child, _where(key), depth + 1
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            where, depth = _where(node), depth + 1
    return depth, where
