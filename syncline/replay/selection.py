"""Which change events are meant: by pipeline, object, record, time or offset. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncline.config.model import Config
from syncline.contracts.ref import Object, Ref
from syncline.contracts.replay import Replay
from syncline.contracts.topics import Names
from syncline.runtime.kafka import partitions_of
from syncline.runtime.scan import Places, Record
from syncline.timeline.asked import Unknown, candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """kinds: the objects whose changes are read. pipelines: those that are to write them again, None for all that read
    the objects. refs: these records alone. since, until: by when the change was published. offsets: partition to the
    first offset; partitions that it does not name are left out."""

    kinds: tuple[Object, ...]
    pipelines: frozenset[str] | None = None
    refs: frozenset[Ref] | None = None
    since: datetime | None = None
    until: datetime | None = None
    offsets: Mapping[int, int] | None = None

    @property
    def replay(self) -> Replay:
        """What goes with each message that is sent again."""
        return Replay(kept=True, pipelines=self.pipelines)

    def places(self, names: Names, counts: Collection[int]) -> Places:
        """Topic to the partitions in which a selected change may lie. counts: how many there are, and were before."""
        everywhere: Collection[int] = range(max(counts)) if self.offsets is None else set(self.offsets)
        if self.refs is None:
            return {names.changes(kind): everywhere for kind in self.kinds}
        return {
            names.changes(kind): {
                number for key in keys for number in partitions_of(key, counts) if number in everywhere
            }
            for kind, keys in self._keys().items()
        }

    def taken(self, records: Sequence[Record], names: Names) -> Sequence[Record]:
        """Of messages from the places above, those of the selected records."""
        if self.refs is None:
            return records
        keys = {names.changes(kind): keys for kind, keys in self._keys().items()}
        return [record for record in records if record.key in keys[record.topic]]

    def _keys(self) -> dict[Object, set[bytes]]:
        found: dict[Object, set[bytes]] = {}
        for ref in self.refs or ():
            found.setdefault(ref.kind, set()).add(ref.id.encode())
        return found


def select(
    config: Config,
    *,
    pipelines: Collection[str] = (),
    objects: Collection[str] = (),
    records: Collection[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    offsets: Mapping[int, int] | None = None,
) -> Selection:
    """From what a person typed; nothing typed means everything that the pipelines read. Raises Unknown."""
    kinds = kinds_of(config, pipelines=pipelines, objects=objects)
    refs = refs_of(config, kinds, records) if records else None
    if refs is not None:
        kinds = tuple(sorted({ref.kind for ref in refs}))
    if offsets is not None and len(kinds) > 1:
        raise Unknown(
            f"offsets are those of one topic, and {_listed(kinds)} have one each: name one of them (--object)"
        )
    return Selection(
        kinds=kinds,
        pipelines=frozenset(pipelines) or None,
        refs=refs,
        since=since,
        until=until,
        offsets=offsets,
    )


def kinds_of(config: Config, *, pipelines: Collection[str] = (), objects: Collection[str] = ()) -> tuple[Object, ...]:
    """The objects that these pipelines read, as far as they are among these objects; none named are all. An object is
    called system.object or, where no other system has one of that name, by its name alone. Raises Unknown."""
    if missing := sorted(set(pipelines) - config.pipelines.keys()):
        raise Unknown(f"there is no pipeline {', '.join(missing)}: there are {', '.join(sorted(config.pipelines))}")
    named = {_object(config, each) for each in objects} or set(config.sources)
    read = {config.pipelines[each].from_ for each in pipelines} or set(config.sources)
    if not named & read:
        raise Unknown(f"{', '.join(sorted(pipelines))} reads {_listed(read)}, and not {_listed(named)}")
    return tuple(sorted(named & read))


def refs_of(config: Config, kinds: Collection[Object], records: Collection[str]) -> frozenset[Ref]:
    """What each record may be among these kinds. Raises Unknown."""
    found = set[Ref]()
    for each in records:
        meant = {ref for ref in candidates(each, config) if ref.kind in kinds}
        if not meant:
            raise Unknown(f"{each} is no record of {_listed(kinds)}")
        found |= meant
    return frozenset(found)


def _object(config: Config, typed: str) -> Object:
    found = [kind for kind in config.sources if typed in (f"{kind.system}.{kind.name}", str(kind), kind.name)]
    if len(found) != 1:
        what = f"may be {_listed(found)}" if found else "is read by no pipeline"
        raise Unknown(f"{typed} {what}: name one of {_listed(config.sources)}")
    return found[0]


def _listed(kinds: Collection[Object]) -> str:
    return ", ".join(f"{kind.system}.{kind.name}" for kind in sorted(kinds))
