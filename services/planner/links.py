"""Links as they would be: read from where they are stored, saved beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import orjson

from services.planner.store import Overlay
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref

LINKS = "links"

Asked = tuple[Ref, Object]
"""A record, and the kind of the one that it is linked to."""


class StoredLinks(Protocol):
    async def find(self, wanted: Sequence[Asked]) -> Mapping[Asked, Link]: ...


class PlannedLinks:
    """Each is kept under both of its records, seen from each; a row that says null is of a record that has none."""

    def __init__(self, stored: StoredLinks, planned: Overlay) -> None:
        self._stored = stored
        self._planned = planned

    async def find(self, wanted: Sequence[Asked]) -> dict[Asked, Link]:
        asked = list(dict.fromkeys((ref, Object(*kind)) for ref, kind in wanted))
        rows = {each: row for each in asked if (row := self._planned.get(LINKS, _key(each))) is not None}
        rest = [each for each in asked if each not in rows]
        found = dict(await self._stored.find(rest)) if rest else {}
        return found | {each: link for each, row in rows.items() if (link := _decoded(row))}

    async def save(self, links: Sequence[Link]) -> list[bool]:
        """As the state schema does: False for one that changed since it was found, and for a record that is taken."""
        ours = [(link.source.ref, link.target.ref.kind) for link in links]
        theirs = [(link.target.ref, link.source.ref.kind) for link in links]
        known = await self.find([*ours, *theirs])
        saved = []
        for link, own, other in zip(links, ours, theirs, strict=True):
            before, taken = known.get(own), known.get(other)
            fits = (before.revision if before else 0) == link.revision
            free = taken is None or taken.target.ref == link.source.ref
            if fits and free:
                here = replace(link, revision=link.revision + 1)
                there = replace(here, source=link.target, target=link.source)
                known |= {own: here, other: there}
                rows = {_key(own): _encoded(here), _key(other): _encoded(there)}
                if before and before.target.ref != link.target.ref:
                    left = (before.target.ref, link.source.ref.kind)
                    known.pop(left, None)
                    rows[_key(left)] = b"null"
                self._planned.apply({LINKS: rows})
            saved.append(fits and free)
        return saved


def _key(asked: Asked) -> bytes:
    return f"{asked[0]}>{asked[1]}".encode()


def _encoded(link: Link) -> bytes:
    return orjson.dumps(link, default=tuple)


def _decoded(row: bytes) -> Link | None:
    document = orjson.loads(row)
    if document is None:
        return None
    source, target = _side(document.pop("source")), _side(document.pop("target"))
    return Link(source, target, **document)


def _side(document: dict[str, Any]) -> Side:
    lists = {name: tuple(document[name]) for name in ("review", "contested")}
    return Side(Ref(*document["ref"]), document["version"], document["known"], **lists)
