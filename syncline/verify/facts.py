"""What is known of records that differ: who is held, which dead letters are open, what was in conflict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from syncline.config.settings import Settings
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Ref
from syncline.oncall.desk import desk
from syncline.oncall.letters import Selection
from syncline.runtime.scan import reader, scan
from syncline.state.conflicts import Conflicts, Recorded
from syncline.state.deletions import Deletions
from syncline.timeline.held import Slot, held_now, steps
from syncline.timeline.read import holding, holds_of
from syncline.verify.reasons import Facts, Letter

CONSENT = {
    "waiting": "its deletion waits for a person: syncline deletions list",
    "blocked": "its deletion is blocked by records that refer to it: syncline deletions list",
    "refused": "a person refused its deletion: restore it, or delete its counterpart by hand",
}


@dataclass
class Gathering:
    """pool: of the state schema."""

    settings: Settings
    pool: Any
    pipelines: Collection[str]

    async def facts(self, refs: Collection[Ref]) -> Facts:
        """About these records. Reads two topics back. Raises Transient, Fatal."""
        if not refs:
            return Facts()
        asked, names = list(refs), list(self.pipelines)
        consent = await Deletions(self.pool).of(names, asked)
        return Facts(
            held=await self._held(set(asked)),
            letters=await self._letters(set(asked)),
            conflicts=_by_pair(await Conflicts(self.pool).about(names, asked)),
            consent={ref: CONSENT[state] for ref, state in consent.items()},
        )

    async def _held(self, refs: Collection[Ref]) -> dict[Ref, list[Slot]]:
        async with reader(self.settings.kafka) as consumer:
            settled = holds_of(self.settings)
            rows = await scan(
                consumer,
                holding(self.settings),
                lambda row: _child(row.key) in refs and settled(row),
                since=None,
                progress=_unseen,
            )
        found: defaultdict[Ref, list[Slot]] = defaultdict(list)
        for step in held_now(steps(rows)):
            found[step.slot.child].append(step.slot)
        return found

    async def _letters(self, refs: Collection[Ref]) -> dict[Ref, list[Letter]]:
        found: defaultdict[Ref, list[Letter]] = defaultdict(list)
        named = {str(ref): ref for ref in refs}
        async with desk(self.settings) as at:
            async for letters in at.letters(Selection(), progress=_unseen):
                for each in letters:
                    if ref := named.get(each.letter.ref or ""):
                        letter = each.letter
                        found[ref].append(Letter(each.id, letter.code, letter.pipeline, _version(letter)))
        return found


def _child(key: bytes | None) -> Ref | None:
    """Who waits in a row of `held`."""
    try:
        slot = Slot.parse(key)
    except Malformed:
        return None
    return slot.child if slot else None


def _version(letter: DeadLetter) -> str | None:
    """Of the change or the command that was refused."""
    try:
        return (Command if letter.stage == "writer" else Change).decode(letter.input).version
    except Malformed:
        return None


def _by_pair(rows: Iterable[Recorded]) -> dict[tuple[Ref, Ref], list[Recorded]]:
    found: defaultdict[tuple[Ref, Ref], list[Recorded]] = defaultdict(list)
    for each in rows:
        found[each.conflict.source, each.conflict.target].append(each)
    return found


def _unseen(_: int, __: int) -> None:
    """Nobody watches this reading by itself."""
