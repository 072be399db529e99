"""Deleting rows in one transaction. A row that others refer to is found by halving the batch; its neighbours go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.writer.sinks import Saved, Written
from services.writer.sinks.postgres import sql
from services.writer.sinks.postgres.batch import BEGIN, ROW_FAULTS, code
from services.writer.sinks.postgres.target import Target
from syncline.contracts.errors import RecordRejected
from syncline.hub.capture import NEVER_LOGGED, versions

REFERRED_TO = "foreign_key_violation"
"""The code of every refusal by a row that refers to the record, whatever its foreign key does on delete."""
REMEDIES = {
    REFERRED_TO: "Delete or move the rows that refer to it, let the foreign key cascade, or choose another on_delete.",
}
REMEDY = "See what the message says of the table's own rules, or choose another on_delete; then retry the dead letter."


@dataclass(slots=True)
class Removal:
    """calls: statements sent, rows: rows deleted; by kind, for metrics."""

    connection: Any
    target: Target
    calls: Counter[str]
    rows: Counter[str]

    async def delete(self, ids: Sequence[str]) -> list[Written]:
        """In order; what is not there counts as deleted."""
        await self.connection.execute(BEGIN)
        shown = {each: own for own, each in self.target.ids(ids).items()}
        refused = await self._remove(sorted(shown.values()))
        known = await versions(self.connection, self.target.name, list(shown.values()))
        return [
            refused.get(shown.get(each, "")) or Saved(each, False, known.get(shown.get(each, ""), NEVER_LOGGED).text)
            for each in ids
        ]

    async def _remove(self, ids: list[str]) -> dict[str, RecordRejected]:
        if not ids:
            return {}
        self.calls["delete"] += 1
        try:
            async with self.connection.transaction():
                gone = await self.connection.fetch(sql.delete(self.target.base), ids)
                self.rows["delete"] += len(gone)
                return {}
        except asyncpg.PostgresError as error:
            if str(error.sqlstate)[:2] not in ROW_FAULTS:
                raise
            if len(ids) == 1:
                refers = isinstance(error, asyncpg.IntegrityConstraintViolationError)
                name = REFERRED_TO if refers else code(error)
                message = f"{self.target.described.table} keeps the row: {error.args[0]}"
                return {ids[0]: RecordRejected(message, code=name, remedy=REMEDIES.get(name, REMEDY))}
        half = len(ids) // 2
        return {**await self._remove(ids[:half]), **await self._remove(ids[half:])}
