"""Answers requests: reads the records that children wait for, or that changed unseen, and publishes them as changes.

Needs no lease: what is read here is final for its version, so it cannot overtake a newer change of the same record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from services.poller.events import dead_letter, messages
from services.poller.metrics import Metrics
from services.poller.ports import Publishes
from services.poller.sources import Known, Source
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import Fatal, Malformed, RecordRejected
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from syncline.contracts.topics import Names
from syncline.runtime.consume import Record
from syncline.runtime.kafka import Message

log = structlog.get_logger()

SENT_ONLY = RecordRejected(
    "the record is needed whole, and its system only sends changes: it cannot be asked for it",
    code="CANNOT_BE_READ",
    remedy="Let the system send the whole record again (Debezium: an incremental snapshot of its table).",
)


class Requests:
    """`handle` is what `consume` calls with each pass."""

    def __init__(
        self,
        sources: Mapping[Object, Source],
        publisher: Publishes,
        names: Names,
        metrics: Metrics,
        *,
        streams: Collection[Object] = (),
    ) -> None:
        """streams: sources that send their changes by themselves and cannot be asked."""
        self._sources = sources
        self._publisher = publisher
        self._names = names
        self._metrics = metrics
        self._streams = streams

    async def handle(self, records: Sequence[Record]) -> None:
        """Each object's records are read in one call, each record once. Raises Transient: run the pass again."""
        letters: list[Message] = []
        wanted: dict[Object, dict[str, Record]] = {}
        known: dict[Object, dict[str, str]] = {}
        for record in records:
            try:
                request = Request.decode(record.value)
                ref = request.ref
                if ref.kind in self._streams:
                    letters.append(self._letter(SENT_ONLY, record, ref))
                    continue
                if ref.kind not in self._sources:
                    raise Malformed(f"no pipeline reads {ref.kind}", fields=("ref",))
                wanted.setdefault(ref.kind, {}).setdefault(ref.id, record)
                if request.known is not None:
                    met = known.setdefault(ref.kind, {})
                    met[ref.id] = max(request.known, met.get(ref.id, ""))
            except RecordRejected as error:
                letters.append(self._letter(error, record, None))
        answers = await asyncio.gather(
            *(self._answer(kind, asked, known.get(kind, {})) for kind, asked in wanted.items())
        )
        await self._publisher.publish([*letters, *(message for answer in answers for message in answer)])

    async def _answer(self, kind: Object, asked: Mapping[str, Record], known: Known) -> list[Message]:
        count = self._metrics.requests
        try:
            found = await self._sources[kind].fetch(list(asked), known)
        except Fatal as error:
            log.error("cannot be read", object=str(kind), why=str(error), records=len(asked))
            count.labels(*kind, "failed").inc(len(asked))
            refused = RecordRejected(
                str(error),
                code="CANNOT_BE_READ",
                remedy="Put right what the message says, then publish the request again.",
            )
            return [self._letter(refused, record, Ref(*kind, name)) for name, record in asked.items()]
        count.labels(*kind, "found").inc(len(asked) - len(found.missing))
        count.labels(*kind, "missing").inc(len(found.missing))
        log.info("answered", object=str(kind), asked=len(asked), missing=len(found.missing))
        missing = RecordRejected(
            f"{kind} has no such record, or it is deleted",
            code="PARENT_NOT_FOUND",
            remedy="Restore the record, or give the records that name it another parent; they are held until then.",
        )
        letters = [self._letter(missing, asked[name], Ref(*kind, name)) for name in found.missing]
        return [*messages(found.changes, self._names), *letters]

    def _letter(self, error: RecordRejected, record: Record, ref: Ref | None) -> Message:
        position = f"{record.topic}/{record.partition}/{record.offset}"
        letter = DeadLetter.of(
            error, stage="poller", position=position, input=record.value, ref=str(ref) if ref else None
        )
        return dead_letter(letter, self._names)
