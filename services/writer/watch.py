"""Noticing that a target changed its schema while the writer runs: a field is gone, is required now, has another type.

Such a change is no fault of the records, so they are not drained into the dead letters. What is written to that system
waits, uncommitted in its topic, until the schema or the mapping is put right; other systems go on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from syncline.config.checks import Finding, check_target
from syncline.config.model import Config
from syncline.contracts.catalog import Described
from syncline.contracts.errors import Fatal, RecordRejected, Transient
from syncline.contracts.ref import Object

log = structlog.get_logger()

SUSPECT = frozenset(
    {
        *("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE", "NOT_FOUND"),
        *("REQUIRED_FIELD_MISSING", "JSON_PARSER_ERROR"),
        *("undefined_column", "undefined_table", "not_null_violation"),
        *("datatype_mismatch", "invalid_text_representation", "string_data_right_truncation"),
    }
)
"""Codes of a rejected record that may be the schema's doing; a look at the schema decides."""
TRUSTED = 600.0
"""Seconds for which the same rejection counts as the record's own after a look that found nothing."""
LOOK_EVERY = 900.0
"""Seconds between looks without any suspicion: a change of type need not make any write fail."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
"""Seconds between two looks while a system is paused: each costs one describe an object."""

Ask = Callable[[str], Awaitable[Mapping[Object, Described]]]
Signature = tuple[str, str, tuple[str, ...]]


class Doubt(Transient):
    """A record was refused in a way that may be the schema's doing. Nothing was said about it yet."""

    def __init__(self, pipeline: str, error: RecordRejected) -> None:
        super().__init__(f"{pipeline}: {error.code}: {error}; looking whether the schema changed")
        self.signature = signature(pipeline, error)


def signature(pipeline: str, error: RecordRejected) -> Signature:
    return pipeline, error.code, error.fields


@dataclass
class Watch:
    """begun: what the systems said of themselves at the start, by which the mapping was checked. ask: what one says
    now. refresh: has its sink read the schema anew. paused: system to what must be put right, for metrics."""

    config: Config
    begun: Mapping[Object, Described]
    ask: Ask
    refresh: Callable[[str], Awaitable[None]]
    clock: Callable[[], float] = time.monotonic
    paused: dict[str, str] = field(default_factory=dict)
    _known: dict[Object, Described] = field(default_factory=dict)
    _trusted: dict[Signature, float] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)
    _waits: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = dict(self.begun)
        self._looked = dict.fromkeys(self.config.targets, self.clock())

    def doubts(self, pipeline: str, error: RecordRejected) -> bool:
        """Whether to look at the schema before this record is given up."""
        trusted = self._trusted.get(signature(pipeline, error))
        return error.code in SUSPECT and (trusted is None or self.clock() - trusted > TRUSTED)

    async def guard(self, system: str, handle: Callable[[Sequence[Any]], Awaitable[None]], records: Any) -> None:
        """`handle`, which writes to `system`. Raises Transient while the system is paused, and whatever else `handle`
        raises that the schema does not explain."""
        if system in self.paused or self.clock() - self._looked[system] > LOOK_EVERY:
            await self._look(system)
        try:
            await handle(records)
        except Doubt as doubt:
            await self._look(system)
            self._trusted[doubt.signature] = self.clock()
            raise
        except Fatal:
            await self._look(system)
            raise

    async def _look(self, system: str) -> None:
        """Returns when nothing is wrong and nothing is new. Raises Transient to have the records again."""
        try:
            now = await self.ask(system)
            findings = self._findings(system, now)
        except Fatal as error:
            now, findings = {}, [str(error)]
        self._looked[system] = self.clock()
        if findings:
            self._pause(system, "; ".join(findings))
        if told := self.paused.pop(system, None):
            del self._waits[system]
            log.info("goes on", system=system, was=told)
        if any(now.get(kind) != each for kind, each in self._known.items() if kind.system == system):
            await self.refresh(system)
            self._known |= now
            self._trusted.clear()
            raise Transient(
                f"the schema of {system} changed, and the mapping still fits: the records are taken again", 0.0
            )

    def _findings(self, system: str, now: Mapping[Object, Described]) -> list[str]:
        catalogs = {kind: each.catalog for kind, each in now.items()}
        rights = {kind: each.rights for kind, each in now.items()}
        found = []
        for name, pipeline in self.config.pipelines.items():
            if pipeline.to.system == system:
                found += [each for each in check_target(self.config, name, catalogs, rights) if each.blocks]
                found += self._other_types(name, now)
        return [str(each) for each in found]

    def _other_types(self, name: str, now: Mapping[Object, Described]) -> list[Finding]:
        kind = self.config.pipelines[name].to
        begun, present = self.begun[kind].catalog, now[kind].catalog if kind in now else {}
        return [
            Finding(
                f"pipelines.{name}.fields.{each}",
                f"{each} of {kind} was a {begun[each].type} and is a {present[each].type} now",
                "Change it back, or restart the writer once the mapping fits.",
            )
            for each in sorted(self.config.pipelines[name].writes & begun.keys() & present.keys())
            if begun[each].type != present[each].type
        ]

    def _pause(self, system: str, told: str) -> None:
        """Raises Transient."""
        wait = self._waits[system] = min(LONGEST_WAIT, self._waits.get(system, FIRST_WAIT / 2) * 2)
        self.paused[system] = told
        log.error("paused", system=system, why=told, next_look_seconds=wait)
        raise Transient(f"{system} is paused, nothing is lost: {told}", wait)
