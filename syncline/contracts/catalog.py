"""What a system says about its own objects: the facts that a mapping is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

FieldType = Literal["text", "number", "boolean", "date", "datetime", "reference", "other"]
Right = Literal["read", "create", "update", "delete"]
ALL_RIGHTS: frozenset[Right] = frozenset(get_args(Right))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """length is in characters, None where unlimited; required: creation fails without it; choices: the values of a
    restricted picklist, None when any value goes."""

    name: str
    type: FieldType = "text"
    length: int | None = None
    writable: bool = True
    required: bool = False
    external_id: bool = False
    choices: tuple[str, ...] | None = None


Catalog = dict[str, FieldInfo]
"""Field name to facts, of one object."""


class Described(NamedTuple):
    """An object as its system describes it to the user that asks. rights: what that user may do with records at all."""

    catalog: Catalog
    rights: frozenset[Right] = ALL_RIGHTS
