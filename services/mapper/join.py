"""The second hop, pure: a command goes on when all that it waits for is synced, and is held until then.

Table `synced`: record>target object -> the record's id there; fed only by results, never by what was merely seen.
Table `held`: one row for each child under what it waits for, so that holding and releasing cost the same however
many children a parent has. Row: a line of JSON (when it came, its version), then what came, as it came. One row more
stands before those of a parent, so that a parent for whom nobody waits costs one look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from services.mapper.engine import Effects, Input, Output, Reader, View
from services.mapper.mapped import Head, Mapped, Wait
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
        step = Step(self._names, self.counts, View(stored))
        results = self._names.results
        for record in batch:
            try:
                if record.topic == results:
                    step.result(record)
                else:
                    step.mapped(record)
            except RecordRejected as error:
                step.rejected(record, error)
        return Effects(step.view.changes, step.outputs)


class Step:
    """One batch under way."""

    def __init__(self, names: Names, counts: Counter[str], view: View) -> None:
        self._names = names
        self._commands: dict[str, str] = {}
        self._counts = counts
        self.view = view
        self.outputs: list[Output] = []

    def mapped(self, record: Input) -> None:
        """Raises Malformed."""
        value = record.value
        mapped = value if type(value) is Mapped else Mapped.decode(value)
        head = mapped.head
        if head.left:
            self._drop(head)
        elif not head.waits:
            self._send(head, mapped.command, record)
        elif (target := self.view.get(SYNCED_TABLE, head.waits[0].synced)) is not None:
            self._go_on(mapped, target.decode(), record)
        else:
            self._hold(mapped, record)

    def result(self, record: Input) -> None:
        """Raises Malformed."""
        result = Result.decode(record.value)
        if result.target is None:
            return
        ref, other = result.source, result.target
        if record.key == str(result.target).encode():
            ref, other = other, ref
        wait = Wait(str(ref), str(other.kind), None)
        if result.ended:
            if self.view.get(SYNCED_TABLE, wait.synced) == other.id.encode():
                self.view.delete(SYNCED_TABLE, wait.synced)
        elif result.outcome in SYNCED:
            self._synced(wait, other.id, record)

    def rejected(self, record: Input, error: RecordRejected) -> None:
        self._counts["rejected"] += 1
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(error, stage="mapper", position=position, input=record.value)
        self.outputs.append(Output(self._names.dead_letters, letter.key, letter.encode()))

    def _go_on(self, mapped: Mapped, target: str, cause: Input) -> None:
        """One thing less to wait for: on to the next, which may be decided in another partition, or to the writer."""
        head = mapped.head
        if len(head.waits) == 1:
            self._send(head, mapped.filled(target), cause)
        else:
            further = mapped.further(target)
            self.outputs.append(Output(self._names.mapped, further.head.key, further))

    def _send(self, head: Head, command: bytes, cause: Input) -> None:
        """A key has the same partition number on every topic, so that of the cause needs no hash."""
        self._counts["commands"] += 1
        topic = self._commands.get(head.system)
        if topic is None:
            topic = self._commands[head.system] = self._names.commands(head.system)
        key = head.affinity.encode()
        self.outputs.append(Output(topic, key, command, cause.partition if key == cause.key else None))

    def _hold(self, mapped: Mapped, record: Input) -> None:
        """The record's timestamp tells people how long it is held."""
        view, head, now = self.view, mapped.head, record.timestamp
        slot = head.slot
        held = view.get(HELD, slot)
        if held is not None and _when(held)["version"] > head.version:
            return
        self._counts["held"] += held is None
        when = orjson.dumps({"at": now, "version": head.version})
        value = mapped.encode() if record.value is mapped else record.value
        view.put(HELD, slot, b"\n".join((when, value)))
        wait = head.waits[0]
        if view.get(HELD, wait.held) is None and (on := Ref.parse(wait.on)).id != "-":
            view.put(HELD, wait.held, orjson.dumps({"asked": now}))
            if wait.field is not None:
                request = Request(ref=on, reason=f"{head.source} waits for it")
                self.outputs.append(Output(self._names.requests, wait.on.encode(), request.encode()))

    def _drop(self, head: Head) -> None:
        slot = head.slot
        held = self.view.get(HELD, slot)
        if held is not None and _when(held)["version"] <= head.version:
            self.view.delete(HELD, slot)
            self._counts["left"] += 1

    def _synced(self, wait: Wait, target: str, cause: Input) -> None:
        view, value = self.view, target.encode()
        if view.get(SYNCED_TABLE, wait.synced) == value:
            return  # whatever was held for it was released when it became synced
        view.put(SYNCED_TABLE, wait.synced, value)
        first, released = wait.held, list[tuple[str, bytes]]()
        if view.get(HELD, first) is None:
            return  # nobody waits
        for key, row in view.scan(HELD, first):
            view.delete(HELD, key)
            if key != first:
                released.append((_when(row)["version"], row))
        self._counts["released"] += len(released)
        released.sort(key=lambda each: each[0])
        released.reverse()
        while released:  # each row goes as its command comes, for there may be hundreds of megabytes of them
            _, row = released.pop()
            self._go_on(Mapped.decode(row.partition(b"\n")[2]), target, cause)


def _when(row: bytes) -> dict[str, Any]:
    """The first line of a held row."""
    when: dict[str, Any] = orjson.loads(row[: row.index(b"\n")])
    return when
