"""Where the two records of a pair are not equal, pure.

A target field is equal to what feeds it when one of these holds:
- the source's live values map to what the target holds, empty ones that change nothing included;
- the other way, what the target holds maps to the live values of all that feeds it;
- both sides hold just what they held when they last agreed: after a lossy transform the two rightly differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syncline.contracts.errors import RecordRejected
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Fields, Object, Ref, Value
from syncline.verify.pairing import Pairing, Partners, Route, Row


@dataclass(frozen=True, slots=True)
class Pair:
    """rows: what is there of the two now, by kind."""

    link: Link
    rows: dict[Object, Row]

    def side(self, kind: Object) -> Side:
        return self.link.source if self.link.source.ref.kind == kind else self.link.target


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A target field that is not equal to what feeds it. given: the source's values of its inputs; expected: what they
    map to; held: the target's. drifted: the records that no longer hold what was last agreed of just these fields.
    never: they were never compared by Syncline, for the mapping is newer than what it read. disputed: they wait for a
    person, or were never agreed on."""

    pipeline: str
    source: Ref
    target: Ref
    field: str
    given: Fields
    expected: Value
    held: Value
    drifted: tuple[Ref, ...]
    never: bool
    disputed: bool


def compare(pairing: Pairing, pair: Pair, partners: Partners) -> list[Mismatch]:
    """Of a pair of which both records are there."""
    return _once(list(_Comparison(pairing, pair, partners).mismatches()))


def _once(found: list[Mismatch]) -> list[Mismatch]:
    """Two pipelines that map a field to and fro tell of one difference: that whose source drifted, and has the news."""
    kept: list[Mismatch] = []
    for each in sorted(found, key=lambda mismatch: mismatch.source not in mismatch.drifted):
        if not any(each.field in other.given and other.field in each.given for other in kept):
            kept.append(each)
    return kept


class _Comparison:
    def __init__(self, pairing: Pairing, pair: Pair, partners: Partners) -> None:
        self._pairing = pairing
        self._pair = pair
        self._expected: dict[str, Fields] = {}
        self._refused: set[str] = set()
        wanting = [route for route in pairing.routes if route.left_out(pair.rows[route.source].fields) is None]
        self._routes = {route.name: route for route in wanting}
        for route in wanting:
            self._expected[route.name] = self._expect(route, partners)

    def mismatches(self) -> Iterator[Mismatch]:
        for name, route in self._routes.items():
            for field, value in self._expected[name].items():
                if not (
                    self._forward(route, field, value)
                    or self._back(route, field)
                    or self._agreed(route, field)
                    or self._left_alone(route, field)
                ):
                    yield self._mismatch(route, field, value)
            if name in self._refused:
                yield from self._unmapped(route)

    def _expect(self, route: Route, partners: Partners) -> Fields:
        record = self._pair.rows[route.source].fields
        try:
            expected = dict(route.mapped(record))
        except RecordRejected:
            self._refused.add(route.name)
            expected = {}
        # Who is linked to nobody has no name over there, and is no name that anybody could hold.
        for field, asked in route.named(record).items():
            expected[field] = partners.get(asked) or f"(nobody yet for {asked[0]})"
        return expected

    def _forward(self, route: Route, field: str, value: Value) -> bool:
        held = self._pair.rows[route.target].fields[field]
        return self._pairing.same(route.target, field, held, value)

    def _back(self, route: Route, field: str) -> bool:
        """All that feeds the field is fed by it in turn, and equal that way."""
        inputs = route.inputs(field)
        return bool(inputs) and all(self._fed(route, field, each) for each in inputs)

    def _fed(self, route: Route, field: str, source: str) -> bool:
        for back in self._routes.values():
            if back.source == route.target and source in back.writes and field in back.inputs(source):
                expected = self._expected[back.name]
                if source in expected:
                    return self._forward(back, source, expected[source])
                return source in back.references and self._taken_away(route, field, source)
        return False

    def _taken_away(self, route: Route, field: str, source: str) -> bool:
        """A reference that is no longer there is left alone on this side, and is not told to the link."""
        was = self._pair.side(route.target).known.get(field)
        now = self._pair.rows[route.target].fields[field]
        return was is not None and now in (None, "") and self._as_known(route.source, source) is True

    def _agreed(self, route: Route, field: str) -> bool:
        held = [(route.target, field), *((route.source, each) for each in route.inputs(field))]
        return all(self._as_known(kind, each) is True for kind, each in held) and not self._disputed(held)

    def _left_alone(self, route: Route, field: str) -> bool:
        """Only the target's record drifted, and its own pipelines leave it out: by the configuration its change goes
        nowhere, and is overwritten by nobody until the source changes."""
        back = [each for each in self._pairing.from_(route.target) if field in each.reads]
        return (
            bool(back)
            and not any(each.name in self._routes for each in back)
            and all(self._as_known(route.source, each) is True for each in route.inputs(field))
            and self._as_known(route.target, field) is False
        )

    def _mismatch(self, route: Route, field: str, expected: Value) -> Mismatch:
        inputs = route.inputs(field)
        source, target = self._pair.rows[route.source], self._pair.rows[route.target]
        stands = {
            source.ref: [self._as_known(route.source, each) for each in inputs],
            target.ref: [self._as_known(route.target, field)],
        }
        drifted = tuple(ref for ref, found in stands.items() if False in found)
        return Mismatch(
            route.name,
            source.ref,
            target.ref,
            field,
            {each: source.fields[each] for each in inputs},
            expected,
            target.fields[field],
            drifted,
            never=not drifted and any(None in found for found in stands.values()),
            disputed=self._disputed([(route.target, field), *((route.source, each) for each in inputs)]),
        )

    def _unmapped(self, route: Route) -> Iterator[Mismatch]:
        """The record cannot be mapped at all: what the pipeline would make of it is unknown."""
        for field in sorted(route.writes - self._expected[route.name].keys()):
            if not (self._agreed(route, field) or self._back(route, field)):
                yield self._mismatch(route, field, None)

    def _as_known(self, kind: Object, field: str) -> bool | None:
        """Whether it holds what was agreed; None when nothing was."""
        known = self._pair.side(kind).known
        if field not in known:
            return None
        return self._pairing.same(kind, field, self._pair.rows[kind].fields[field], known[field])

    def _disputed(self, fields: list[tuple[Object, str]]) -> bool:
        return any(
            field in self._pair.side(kind).review or field in self._pair.side(kind).contested for kind, field in fields
        )
