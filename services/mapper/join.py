"""The second hop, pure: a command goes on when all that it waits for is synced, and is held until then.

Table `synced`: record>target object -> the record's id there; fed only by results, never by what was merely seen.
Table `held`: one row for each child under what it waits for, so that holding and releasing cost the same however
many children a parent has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from services.mapper.engine import Effects, Input, Output, Reader, View
from services.mapper.mapped import Mapped, Wait
from syncline.contracts import codec
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.contracts.result import SYNCED, Result
from syncline.contracts.topics import Names

SYNCED_TABLE = "synced"
HELD = "held"


class Join:
    """The hop: `run` is what the engine calls. counts tells what became of the records, for metrics."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.counts: Counter[str] = Counter()

    def run(self, batch: Sequence[Input], stored: Reader) -> Effects:
        view, outputs = View(stored), list[Output]()
        for record in batch:
            try:
                if record.topic == self._names.results:
                    self._result(Result.decode(record.value), record, view, outputs)
                else:
                    self._mapped(Mapped.decode(record.value), record.timestamp, view, outputs)
            except RecordRejected as error:
                self.counts["rejected"] += 1
                position = f"{record.topic}/{record.partition}/{record.offset}"
                letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value)
                outputs.append(Output(self._names.dead_letters, letter.key, letter.encode()))
        return Effects(view.changes, outputs)

    def _mapped(self, mapped: Mapped, now: int, view: View, outputs: list[Output]) -> None:
        if mapped.left:
            self._drop(mapped, view)
            return
        if not mapped.waits:
            self._send(mapped, outputs)
            return
        wait = mapped.waits[0]
        if (target := view.get(SYNCED_TABLE, wait.synced)) is not None:
            self._go_on(mapped, target, outputs)
        else:
            self._hold(mapped, wait, now, view, outputs)

    def _go_on(self, mapped: Mapped, target: bytes, outputs: list[Output]) -> None:
        """One thing less to wait for: on to the next, which may be decided in another partition, or to the writer."""
        wait, *others = mapped.waits
        if wait.field is not None:
            mapped.command["fields"][wait.field] = target.decode()
        further = Mapped(mapped.command, tuple(others), mapped.affinity)
        if others:
            outputs.append(Output(self._names.mapped, further.key, further.encode()))
        else:
            self._send(further, outputs)

    def _send(self, mapped: Mapped, outputs: list[Output]) -> None:
        self.counts["commands"] += 1
        system, _, _ = mapped.command["target"].partition("/")
        outputs.append(Output(self._names.commands(system), mapped.affinity.encode(), codec.encode(mapped.command)))

    def _hold(self, mapped: Mapped, wait: Wait, now: int, view: View, outputs: list[Output]) -> None:
        """`now`: milliseconds since 1970, when the record came; tells people how long it is held."""
        slot = mapped.slot
        if (held := view.get(HELD, slot)) is not None and _version(held) > mapped.version:
            return
        self.counts["held"] += held is None
        row = {"at": now, "version": mapped.version, "mapped": orjson.Fragment(mapped.encode())}
        view.put(HELD, slot, orjson.dumps(row))
        asks = wait.field is not None and wait.on.id != "-"
        if asks and view.get(HELD, wait.held) is None:
            view.put(HELD, wait.held, orjson.dumps({"asked": now}))
            request = Request(ref=wait.on, reason=f"{mapped.command['source']} waits for it")
            outputs.append(Output(self._names.requests, str(wait.on).encode(), request.encode()))

    def _drop(self, mapped: Mapped, view: View) -> None:
        slot = mapped.slot
        held = view.get(HELD, slot)
        if held is not None and _version(held) <= mapped.version:
            view.delete(HELD, slot)
            self.counts["left"] += 1

    def _result(self, result: Result, record: Input, view: View, outputs: list[Output]) -> None:
        if result.target is None:
            return
        ref, other = result.source, result.target
        if record.key == str(result.target).encode():
            ref, other = other, ref
        wait = Wait(ref, other.kind, None)
        if result.ended:
            if view.get(SYNCED_TABLE, wait.synced) == other.id.encode():
                view.delete(SYNCED_TABLE, wait.synced)
        elif result.outcome in SYNCED:
            self._synced(wait, other, view, outputs)

    def _synced(self, wait: Wait, other: Ref, view: View, outputs: list[Output]) -> None:
        target = other.id.encode()
        if view.get(SYNCED_TABLE, wait.synced) == target:
            return  # whatever was held for it was released when it became synced
        view.put(SYNCED_TABLE, wait.synced, target)
        rows = list(view.scan(HELD, wait.held))
        released = []
        for key, row in rows:
            view.delete(HELD, key)
            if key != wait.held:
                held = orjson.loads(row)
                released.append((held["version"], held["mapped"]))
        released.sort(key=lambda each: each[0])
        for _, mapped in released:
            self._go_on(Mapped.read(mapped), target, outputs)
        self.counts["released"] += len(released)


def _version(held: bytes) -> str:
    version: str = orjson.loads(held)["version"]
    return version
