"""From messages to a record's timeline, pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from syncline.contracts import codec
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.conflict import Conflict
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Malformed
from syncline.contracts.link import Link, Side
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.contracts.result import Result
from syncline.contracts.topics import Names
from syncline.timeline.entry import Entry, Stage, facts
from syncline.timeline.fetched import Fetched, moment, where
from syncline.timeline.held import awaited


def entries(records: Iterable[Fetched], refs: Collection[Ref], names: Names) -> Iterator[Entry]:
    """Those of `records` that are about one of `refs`. A message that cannot be read is told as such."""
    for record in records:
        stage, read = _reader(record.topic, names)
        try:
            entry = read(record, refs)
        except Malformed as error:
            ref = next((ref for ref in refs if _names(record, ref, names)), None)
            entry = _unreadable(record, stage, ref, error) if ref else None
        if entry:
            yield entry


def _names(record: Fetched, ref: Ref, names: Names) -> bool:
    if record.topic in (names.changes(ref.kind), names.replay):
        return record.key == ref.id.encode()
    return record.key == str(ref).encode() or orjson.dumps(str(ref)) in (record.value or b"")


def _reader(topic: str, names: Names) -> tuple[Stage, Callable[[Fetched, Collection[Ref]], Entry | None]]:
    if topic == names.mapped:
        return "mapped", _mapped
    if topic == names.replay:
        return "change", _replayed
    if topic == names.results:
        return "result", _result
    if topic == names.requests:
        return "request", _request
    if topic.startswith(names.commands("")):
        return "command", _command
    return "change", _change


def _told(record: Fetched, stage: Stage, ref: Ref, what: str, **detail: Any) -> Entry:
    return Entry(moment(record.timestamp), stage, what, facts(detail), ref, where(record))


def _unreadable(record: Fetched, stage: Stage, ref: Ref, error: Malformed) -> Entry:
    return _told(record, stage, ref, "a message that cannot be read", why=str(error))


def _change(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    change = Change.decode(record.value)
    if change.ref not in refs:
        return None
    return _told(
        record,
        "change",
        change.ref,
        f"{change.op} captured in {change.ref.system}",
        version=change.version,
        changed_at=change.time,
        origin=change.origin,
        partial=not change.complete or None,
        fields=change.fields,
    )


def _replayed(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    change = Change.decode(record.value)
    if change.ref not in refs:
        return None
    return _told(record, "change", change.ref, f"{change.op} of {change.ref.system} once more", version=change.version)


def _request(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    request = Request.decode(record.value)
    if request.ref not in refs:
        return None
    return _told(record, "request", request.ref, f"asked for in {request.ref.system}", why=request.reason)


def _mapped(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    """The shape is services/mapper/mapped.py's own. Only what goes from one mapper to another is there."""
    first, _, second = (record.value or b"").partition(b"\n")
    document, command = codec.decode(first), Command.decode(second)
    if command.source not in refs:
        return None
    waits = [awaited(Ref.parse(wait[0]), command.source) for wait in codec.take(document, "waits", list)]
    if codec.take(document, "left", bool):
        what = f"no longer to wait for {', '.join(waits)}"
    elif waits:
        what = f"{_part(command)}mapped to {command.target}, to go on after {' and '.join(waits)}"
    else:
        what = f"{_part(command)}mapped to {command.target}"
    return _told(record, "mapped", command.source, what, pipeline=command.pipeline, version=command.version)


def _part(command: Command) -> str:
    """A deferred reference patches what another command creates."""
    if command.op == "delete":
        return "deletion "
    return "" if command.creates else f"the reference {', '.join(command.inputs)} "


def _command(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    command = Command.decode(record.value)
    if command.source not in refs:
        return None
    return _told(
        record,
        "command",
        command.source,
        f"{_part(command)}sent to the writer of {command.target.system}",
        pipeline=command.pipeline,
        version=command.version,
        on_delete=command.on_delete if command.op == "delete" else None,
        fields=command.fields,
    )


def _result(record: Fetched, refs: Collection[Ref]) -> Entry | None:
    result = Result.decode(record.value)
    ref = result.source if result.source in refs else result.target
    if ref is None or ref not in refs or record.key != str(ref).encode():
        return None  # the same result lies under the other side's key too
    target = str(result.target or "")
    told = {
        "written": f"{'created' if result.created else 'patched'} {target}",
        "unchanged": f"nothing to write: {target} holds it already",
        "conflict": f"{target} keeps its own values",
        "skipped": "skipped",
        "rejected": "rejected",
    }
    return _told(
        record,
        "result",
        ref,
        f"{target} is no longer its counterpart" if result.ended else told[result.outcome],
        pipeline=result.pipeline,
        version=result.version,
        why=result.reason,
        written=result.written,
    )


def letters(records: Iterable[Fetched], refs: Collection[Ref], positions: Mapping[str, Ref]) -> Iterator[Entry]:
    """Dead letters that go by one of `refs`, or by the position of a message that is about one of them."""
    keys = {each.encode(): ref for each, ref in positions.items()} | {str(ref).encode(): ref for ref in refs}
    for record in records:
        if (ref := keys.get(record.key or b"")) is None:
            continue
        try:
            yield _letter(record, ref)
        except Malformed as error:
            yield _unreadable(record, "dead letter", ref, error)


def _letter(record: Fetched, ref: Ref) -> Entry:
    letter = DeadLetter.decode(record.value)
    return _told(
        record,
        "dead letter",
        ref,
        f"the {letter.stage} gave up: {letter.code}",
        why=letter.message,
        fields=letter.fields,
        remedy=letter.remedy,
        pipeline=letter.pipeline,
        input_from=letter.position,
    )


def conflict(
    row: Conflict,
    refs: Collection[Ref],
    *,
    number: int,
    at: datetime,
    resolved: str | None,
    resolved_at: datetime | None,
) -> Iterator[Entry]:
    """One field's merge as it was recorded, and what a person decided later. number: as `conflicts list` has it."""
    ref = row.source if row.source in refs else row.target
    said = {
        "incoming": f"both sides changed {row.field}: {row.source.system} wins",
        "present": f"both sides changed {row.field}: {row.target.system} wins",
        "review": f"both sides changed {row.field}: a person has to decide",
        "paused": f"writes of {row.field} go back and forth: a person has to look",
    }
    values = {"agreed": row.agreed, row.source.system: row.incoming, row.target.system: row.present}
    detail = {"conflict": number, "pipeline": row.pipeline, "version": row.version}
    yield Entry(at, "conflict", said[row.decided], detail | values, ref, "syncline.conflicts")
    if resolved and resolved_at:
        what = f"a person decided {row.field}: {resolved} wins"
        yield Entry(resolved_at, "conflict", what, detail, ref, "syncline.conflicts")


def link(row: Link, now: datetime) -> Entry:
    """What both sides are known to hold now; told in the same order whichever side was asked for."""
    one, other = sorted((row.source, row.target), key=lambda side: side.ref)
    pair = f"{one.ref} and {other.ref}"
    return Entry(
        now,
        "link",
        f"linked no longer, {row.ended} from {row.ended_by}: {pair}" if row.ended else f"linked now: {pair}",
        facts({str(side.ref): _side(side) for side in (one, other)} | {"paused": row.paused or None}),
        one.ref,
        "syncline.links",
    )


def _side(side: Side) -> dict[str, Any]:
    return facts({"version": side.version, "known": dict(sorted(side.known.items())), "in_review": side.review})
