"""Lookup tables that are files beside pipelines.yaml."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syncline.config.files import Place, Written, read
from syncline.contracts.errors import Fatal


def filled(document: Any, written: Written) -> list[str]:
    """Puts the files' entries where `lookup: {file: ...}` stands in `document`; returns the faults."""
    faults = []
    for place, table in _named(document):
        path = written.file(place).parent / table["file"]
        try:
            table["values"] = _entries(read(path), path)
        except Fatal as error:
            table["values"] = {}
            where = f"{written.line((*place, 'file'))}: {'.'.join(map(str, place))}"
            faults += [f"{where}: {line}" for line in str(error).splitlines()]
    return faults


def _named(node: Any, at: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from _named(each, (*at, number))
    elif isinstance(node, dict):
        for key, each in node.items():
            named = key == "lookup" and isinstance(each, dict) and isinstance(each.get("file"), str)
            if named and "transform" in at and "values" not in each:
                yield (*at, key), each
            else:
                yield from _named(each, (*at, key))


def _entries(text: str, path: Path) -> dict[str, str]:
    """Raises Fatal that lists what is wrong with it."""
    rows = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True), strict=True)
    entries: dict[str, str] = {}
    faults = []
    try:
        for row in rows:
            if not row:
                continue
            if len(row) != 2:
                faults.append(f"{path}:{rows.line_num}: has {len(row)} columns instead of two")
            elif rows.line_num > 1 and row[0] in entries:
                faults.append(f"{path}:{rows.line_num}: {row[0]!r} is listed twice")
            elif rows.line_num > 1:
                entries[row[0]] = row[1]
    except csv.Error as error:
        faults.append(f"{path}:{rows.line_num}: not CSV: {error}")
    if not entries and not faults:
        faults.append(f"{path}: lists nothing below its line of headings")
    if faults:
        raise Fatal("\n".join(faults))
    return entries
