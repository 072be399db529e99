"""Links in PostgreSQL: found and saved a batch at a time, guarded by their revision and by no lock in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Object, Ref
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.state", "links.sql")

WHOLE = ("revision", "id", "ended", "ended_by", "bounces", "bounced_to", "bounced_at", "paused")
"""What belongs to the pair and not to one of its sides."""
PAIR = ("a_system", "a_object", "a_id", "b_system", "b_object", "b_id")

Asked = tuple[Ref, Object]
"""A record, and the kind of the one that it is linked to."""


class Links:
    """pool: one of `database.connect`, whose jsonb columns are Python values."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def find(self, wanted: Sequence[Asked]) -> dict[Asked, Link]:
        """The links that exist, each with the record asked for as its `source`. One query. Raises Transient, Fatal."""
        asked = list(dict.fromkeys((ref, Object(*kind)) for ref, kind in wanted))
        if not asked:
            return {}
        columns = zip(*(("a" if ref.kind <= kind else "b", *ref, *kind) for ref, kind in asked), strict=True)
        with errors("reading syncline.links"):
            rows = await self._pool.fetch(SQL["find"], *map(list, columns))
        found = {}
        for place, *row in rows:
            ref, kind = each = asked[place - 1]
            found[each] = _link(ref.kind, kind, row)
        return found

    async def after(self, id: int, most: int) -> list[Link]:  # noqa: A002 - what the column is called
        """The next links by their ids, each seen from the side whose object sorts first. Raises Transient, Fatal."""
        with errors("reading syncline.links"):
            rows = await self._pool.fetch(SQL["after"], id, most)
        return [_link(Object(*row[:2]), Object(*row[2:4]), row[4:]) for row in map(tuple, rows)]

    async def save(self, links: Sequence[Link]) -> list[bool]:
        """Insert those of revision 0, update the others where the revision is still the one that was found.

        False where another writer was faster, or where one of the two records is linked to a third: find it again.
        One statement; versions never go backwards. Raises Transient, Fatal: then none is saved, or, after a pair was
        found to be taken, some are.
        """
        if not links:
            return []
        rows = [{"place": place, **_columns(link)} for place, link in enumerate(links)]
        new = {tuple(row[name] for name in PAIR): row["place"] for row in rows if row["revision"] == 0}
        with errors("saving syncline.links"):
            try:
                saved = await self._pool.fetch(SQL["save"], rows)
            except asyncpg.UniqueViolationError:
                # A pair that was revived with a record that is linked by now: only that one is to be planned again.
                if len(links) == 1:
                    return [False]
                half = len(links) // 2
                return [*await self.save(links[:half]), *await self.save(links[half:])]
        # An inserted row cannot say which place it was given at, only which pair it is.
        kept = {new[tuple(pair)] if place is None else place for place, *pair in saved}
        return [place in kept for place in range(len(links))]


def _columns(link: Link) -> dict[str, Any]:
    """Side `a` is the one whose (system, object) sorts first, so that both directions share a row."""
    sides = sorted((link.source, link.target), key=lambda side: side.ref.kind)
    whole = {name: getattr(link, name) for name in WHOLE}
    return whole | {
        f"{letter}_{name}": value
        for letter, side in zip("ab", sides, strict=True)
        for name, value in (
            ("system", side.ref.system),
            ("object", side.ref.object),
            ("id", side.ref.id),
            ("version", side.version),
            ("known", side.known),
            ("review", side.review),
            ("contested", side.contested),
        )
    }


def _link(kind: Object, other: Object, row: Sequence[Any]) -> Link:
    """row: id, version, known, review and contested of the side of `kind`, the same of the other, then WHOLE."""
    ours, version, known, review, contested = row[:5]
    theirs, their_version, their_known, their_review, their_contested = row[5:10]
    return Link(
        Side(Ref(*kind, ours), version, known, tuple(review), tuple(contested)),
        Side(Ref(*other, theirs), their_version, their_known, tuple(their_review), tuple(their_contested)),
        *row[10:],
    )
