"""Rows of the mapper's tables lie in the partition of the messages that they are made of: by which key that is.

A row of `records` is named `system/object/id` and goes by the id, as changes do. Rows of `synced` and `held` are named
`<record>><target object>`, those of `held` with more behind a NUL, and go by the record, as results do.
"""

from __future__ import annotations

from collections.abc import Callable

Home = Callable[[bytes], bytes]
"""A row's name to the key by which it lies."""


def _record(row: bytes) -> bytes:
    return row.split(b"/", 2)[-1]


def waited_for(row: bytes) -> bytes:
    """Of a row of `held`, the name of the row of `synced` that it waits for."""
    return row.partition(b"\0")[0]


def _waited_for(row: bytes) -> bytes:
    return waited_for(row).rpartition(b">")[0]


HOMES: dict[str, Home] = {"records": _record, "synced": _waited_for, "held": _waited_for}
"""By the table's name."""
