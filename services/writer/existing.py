"""Finding the target record that a source record already is, before a new one is made."""

from __future__ import annotations

from collections.abc import Sequence

from services.writer.plan import claimable
from services.writer.ports import LinkStore
from services.writer.sinks import Present, Sink
from syncline.contracts.command import Command
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Fields, Object, Ref

Found = Present | RecordRejected | None


async def existing(commands: Sequence[Command], name: str, sink: Sink, links: LinkStore) -> list[Found]:
    """For each command without a link, in order: the record to link to, None to create one, or why neither will do.

    First the counterpart that the source record itself names, then the record that bears the source's mark, then the
    match rules in their order. A record that is
    linked, that bears another's mark, or that an earlier command of the batch takes, is nobody else's.
    Costs one read, and one query for the mark and for each rule, for the whole batch.
    """
    found: list[Found] = [None] * len(commands)
    taken: set[str] = set()
    fields = {field for command in commands for field in command.fields}
    fields |= {command.key for command in commands if command.key}

    async def claim(places: Sequence[int], candidates: Sequence[Sequence[Present]]) -> None:
        kind = commands[0].source.kind
        target = Object(commands[0].target.system, name)
        asked = {Ref(*target, each.id) for many in candidates for each in many}
        linked = await links.find([(ref, kind) for ref in asked])
        owners = {ref.id: link.target.ref for (ref, _), link in linked.items()}
        for place, many in zip(places, candidates, strict=True):
            command = commands[place]
            free = [
                each
                for each in many
                if each.id not in taken and owners.get(each.id) in (None, command.source) and claimable(command, each)
            ]
            if len(free) == 1:
                found[place] = free[0]
                taken.add(free[0].id)
            elif free:
                found[place] = RecordRejected(
                    f"{command.source} matches {len(free)} records of {target}: "
                    f"{', '.join(sorted(each.id for each in free)[:5])}",
                    code="AMBIGUOUS_MATCH",
                    fields=tuple(command.match[0]) if command.match else (),
                    remedy="Merge the duplicates, or put this record's id into the external-ID field of the right one.",
                )

    if named := [place for place, command in enumerate(commands) if command.counterpart]:
        ids = [str(commands[place].counterpart) for place in named]
        presents = await sink.read(name, ids, fields)
        await claim(named, [[presents[each]] if each in presents else [] for each in ids])
    ranked = [[*_mark(command), *command.match] for command in commands]
    for rank in range(max(map(len, ranked), default=0)):
        rules: dict[tuple[str, ...], list[int]] = {}
        for place, conditions in enumerate(ranked):
            if found[place] is None and rank < len(conditions):
                rules.setdefault(tuple(conditions[rank]), []).append(place)
        for rule, places in rules.items():
            values = [tuple(ranked[place][rank].values()) for place in places]
            await claim(places, await sink.match(name, rule, values, fields))
    return found


def _mark(command: Command) -> list[Fields]:
    """A record that Syncline made just before it was killed bears the source's id, but no link knows of it."""
    return [{command.key: command.source.id}] if command.key else []
