"""Links in PostgreSQL: found and saved a batch at a time, guarded by their revision and by no lock in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
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
        found = ((*asked[row["place"] - 1], row) for row in rows)
        return {(ref, kind): _seen_from(ref, kind, row) for ref, kind, row in found}

    async def analyze(self) -> None:
        """Have PostgreSQL count the table: right after a first load it believes it to be empty, and looks for a record
        through the index of the other side, row by row. Takes part of a second. Raises Transient, Fatal."""
        with errors("analyzing syncline.links"):
            await self._pool.execute("ANALYZE syncline.links")

    async def of(self, kind: Object, ids: Sequence[str], other: Object) -> dict[str, Link]:
        """Those of these records of one object with records of the other, by their ids, ended ones included; each seen
        from the record asked for. Raises Transient, Fatal."""
        letter = "a" if kind <= other else "b"
        with errors("reading syncline.links"):
            rows = await self._pool.fetch(SQL[f"of_{letter}"], *kind, *other, list(ids))
        return {row[f"{letter}_id"]: _seen_from(Ref(*kind, row[f"{letter}_id"]), other, row) for row in rows}

    async def between(self, a: Object, b: Object, most: int) -> AsyncIterator[list[Link]]:
        """All links of two objects, ended ones included, seen from `a`, whose name sorts first. In pages, each with a
        query of its own. Raises Transient, Fatal."""
        after = 0
        while True:
            with errors("reading syncline.links"):
                rows = await self._pool.fetch(SQL["between"], *a, *b, after, most)
            if rows:
                yield [_seen_from(Ref(*a, row["a_id"]), b, row) for row in rows]
                after = rows[-1]["id"]
            if len(rows) < most:
                return

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


def _seen_from(ref: Ref, kind: Object, row: Any) -> Link:
    ours, theirs = ("a", "b") if ref.kind <= kind else ("b", "a")

    def side(letter: str, owner: Object) -> Side:
        return Side(
            Ref(*owner, row[f"{letter}_id"]),
            row[f"{letter}_version"],
            row[f"{letter}_known"],
            tuple(row[f"{letter}_review"]),
            tuple(row[f"{letter}_contested"]),
        )

    return Link(side(ours, ref.kind), side(theirs, kind), **{name: row[name] for name in WHOLE})
