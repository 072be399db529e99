"""Both systems and the links between them, put together: all of it by checksum, and single pairs field by field."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from syncline.contracts.link import Link
from syncline.contracts.ref import Object, Ref
from syncline.state.cursors import Cursors, Position
from syncline.state.links import Links
from syncline.verify.compare import Mismatch, Pair, compare
from syncline.verify.digest import Buckets, bucket_of
from syncline.verify.pairing import Pairing, Partners, Row
from syncline.verify.report import LISTED, Compared, Read, Report
from syncline.verify.sides import PAGE, Reader

Progress = Callable[[str, int], None]
"""Called with what is being read, and how many rows of it were."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One pair, or one record without counterpart (`row`), that is not as it should be. gone: the kind of the record
    that is no longer there. marks: by record, the name that it bears in place of its partner's. moving: a change that
    the link does not know of yet is there. left_out: why the configuration wants it so."""

    pairing: Pairing
    ref: Ref
    pair: Pair | None = None
    row: Row | None = None
    pipeline: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    gone: Object | None = None
    marks: tuple[tuple[Ref, Ref, str], ...] = ()
    moving: bool = False
    left_out: str | None = None

    @property
    def key(self) -> tuple[Ref, Object]:
        """The record asked about, and the kind of the other."""
        return self.ref, self.pairing.other(self.ref.kind)

    def like(self, other: Finding) -> bool:
        """Whether two looks found the same."""
        return (self.mismatches, self.gone, self.marks, self.row is None) == (
            other.mismatches,
            other.gone,
            other.marks,
            other.row is None,
        )


@dataclass
class Looks:
    """pool: of the state schema."""

    pairings: Sequence[Pairing]
    readers: Mapping[Object, Reader]
    links: Links
    cursors: Cursors
    report: Report
    progress: Progress
    missing: list[tuple[Pairing, Ref]] = field(default_factory=list)

    async def whole(self) -> AsyncIterator[Finding]:
        """Everything in pages; then, of buckets that differ, pair by pair. A record without counterpart comes last."""
        sums = {(str(pairing), kind): Buckets() for pairing in self.pairings for kind in (pairing.a, pairing.b)}
        for kind, reader in self.readers.items():
            concerned = [pairing for pairing in self.pairings if kind in (pairing.a, pairing.b)]
            fields = frozenset[str]().union(*(pairing.fields(kind) for pairing in concerned))
            read = self.report.objects[str(kind)] = Read()
            async for rows in reader.pages(fields):
                read.pages += 1
                read.rows += len(rows)
                for pairing in concerned:
                    await self._add(pairing, kind, rows, sums[str(pairing), kind], read)
                self.progress(str(kind), read.rows)
        for pairing in self.pairings:
            async for finding in self._differing(pairing, sums[str(pairing), pairing.a], sums[str(pairing), pairing.b]):
                yield finding
        for start in range(0, len(self.missing), PAGE):
            part = self.missing[start : start + PAGE]
            for finding in await self.again([(pairing, ref) for pairing, ref in part]):
                yield finding

    async def again(self, asked: Collection[tuple[Pairing, Ref]]) -> list[Finding]:
        """What is not as it should be of these records and their partners now."""
        found = []
        for pairing in self.pairings:
            for kind in (pairing.a, pairing.b):
                refs = [ref for other, ref in asked if other is pairing and ref.kind == kind]
                for start in range(0, len(refs), PAGE):
                    found += await self._records(pairing, kind, refs[start : start + PAGE])
        return found

    async def _add(self, pairing: Pairing, kind: Object, rows: Sequence[Row], sums: Buckets, read: Read) -> None:
        other = pairing.other(kind)
        links = await self.links.find([(row.ref, other) for row in rows])
        for row in rows:
            link = links.get((row.ref, other))
            if link and not link.ended:
                read.linked += 1
                a, b = (side.ref.id for side in _in_order(pairing, link))
                sums.add(bucket_of(a, b), pairing.stated(link, row))
            elif why := _unlinked(pairing, link, row):
                read.left_out[why] += 1
            elif len(self.missing) < LISTED:
                self.missing.append((pairing, row.ref))
            else:
                self.report.unlisted += 1

    async def _differing(self, pairing: Pairing, a: Buckets, b: Buckets) -> AsyncIterator[Finding]:
        differing = a.differing(b)
        compared = self.report.pairs[str(pairing)] = Compared(
            max(a.filled, b.filled), len(differing), 0, {str(pairing.a): a.checksum, str(pairing.b): b.checksum}
        )
        if not differing:
            return
        waiting: list[Link] = []
        async for links in self._linked(pairing):
            waiting += [each for each in links if bucket_of(each.source.ref.id, each.target.ref.id) in differing]
            while len(waiting) >= PAGE:
                part, waiting = waiting[:PAGE], waiting[PAGE:]
                compared.again += len(part)
                for finding in await self._records(pairing, pairing.a, [each.source.ref for each in part]):
                    yield finding
        compared.again += len(waiting)
        for finding in await self._records(pairing, pairing.a, [each.source.ref for each in waiting]):
            yield finding

    async def _linked(self, pairing: Pairing) -> AsyncIterator[list[Link]]:
        """All pairs of the two objects, seen from `a`, in pages."""
        after = 0
        while links := await self.links.after(after, PAGE):
            kinds = (pairing.a, pairing.b)
            yield [each for each in links if not each.ended and (each.source.ref.kind, each.target.ref.kind) == kinds]
            after = links[-1].id

    async def _records(self, pairing: Pairing, kind: Object, refs: Sequence[Ref]) -> list[Finding]:
        """Links first: what is read after them cannot be older than they are."""
        if not refs:
            return []
        other = pairing.other(kind)
        ids = [ref.id for ref in refs]
        links = {ref: link for (ref, _), link in (await self.links.find([(ref, other) for ref in refs])).items()}
        own = await self.readers[kind].read(ids, pairing.fields(kind))
        partners = [link.target.ref.id for link in links.values() if not link.ended]
        others = await self.readers[other].read(partners, pairing.fields(other)) if partners else {}
        pairs = {ref: Pair(link, _rows(own.get(ref.id), others.get(link.target.ref.id))) for ref, link in links.items()}
        named = await self._partners(pairing, pairs.values())
        found = []
        for ref in refs:
            row, pair = own.get(ref.id), pairs.get(ref)
            if pair is None or pair.link.ended:
                finding = _alone(pairing, row) if row and pair is None else None
            else:
                finding = self._pair(pairing, ref, pair, named)
            if finding:
                found.append(finding)
        return await self._on_the_way(kind, found)

    async def _on_the_way(self, kind: Object, found: Sequence[Finding]) -> list[Finding]:
        """What has no live version to be told by: records that capture has not come to, and deletions."""
        position = await self.cursors.load(kind) if any(each.row for each in found) else None
        went: dict[Ref, str] = {}
        for gone in {each.gone for each in found if each.gone and not each.left_out}:
            ids = [each.pair.side(gone).ref.id for each in found if each.pair and each.gone == gone]
            removed = await self.readers[gone].removed(ids)
            went |= {Ref(*gone, each): version for each, version in removed.items()}
        return [_in_time(each, position, went, self.readers[kind]) for each in found]

    def _pair(self, pairing: Pairing, ref: Ref, pair: Pair, named: Partners) -> Finding | None:
        gone = [kind for kind in (pairing.a, pairing.b) if kind not in pair.rows]
        if len(gone) == 2:
            return None
        if gone:
            follows = any(route.passes_deletions for route in pairing.from_(gone[0]))
            why = None if follows else "its partner was deleted, which no pipeline follows"
            return Finding(pairing, ref, pair, gone=gone[0], left_out=why)
        mismatches = tuple(compare(pairing, pair, named))
        marks = [
            (row.ref, partner, held)
            for kind, row in pair.rows.items()
            for partner in [pair.side(pairing.other(kind)).ref]
            if (held := pairing.misnamed(row, partner))
        ]
        if not mismatches and not marks:
            return None
        return Finding(pairing, ref, pair, None, "", mismatches, None, tuple(marks), _moving(pairing, pair))

    async def _partners(self, pairing: Pairing, pairs: Iterable[Pair]) -> dict[tuple[Ref, Object], str]:
        """Of the records that these name."""
        asked: set[tuple[Ref, Object]] = set()
        for pair in pairs:
            for route in pairing.routes:
                if row := pair.rows.get(route.source):
                    asked.update(route.named(row.fields).values())
        links = await self.links.find(list(asked))
        return {each: link.target.ref.id for each, link in links.items() if not link.ended}


def _in_time(finding: Finding, position: Position | None, went: Mapping[Ref, str], reader: Reader) -> Finding:
    if finding.row and reader.ahead(finding.row, position):
        return replace(finding, moving=True)
    if finding.pair and finding.gone:
        lost = finding.pair.side(finding.gone)
        return replace(finding, moving=went.get(lost.ref, "") > lost.version)
    return finding


def _alone(pairing: Pairing, row: Row) -> Finding | None:
    route = pairing.unpaired(row)
    return Finding(pairing, row.ref, row=row, pipeline=route.name, moving=row.fresh) if route else None


def _rows(*rows: Row | None) -> dict[Object, Row]:
    return {row.ref.kind: row for row in rows if row}


def _in_order(pairing: Pairing, link: Link) -> tuple[Any, Any]:
    return (link.source, link.target) if link.source.ref.kind == pairing.a else (link.target, link.source)


def _unlinked(pairing: Pairing, link: Link | None, row: Row) -> str | None:
    """Why it is right that nobody is linked to the record."""
    if link and link.ended:
        return f"the pair was {link.ended}"
    if pairing.unpaired(row):
        return None
    reasons = [why for route in pairing.from_(row.ref.kind) if (why := route.left_out(row.fields))]
    return reasons[0] if reasons else "no pipeline reads it"


def _moving(pairing: Pairing, pair: Pair) -> bool:
    """Whether a live record that is captured has a version that was not applied yet, or may have changed just now."""
    return any(
        row.fresh or row.version > pair.side(kind).version
        for kind, row in pair.rows.items()
        if any(route.left_out(row.fields) is None for route in pairing.from_(kind))
    )
