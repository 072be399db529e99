"""The sink itself: collections to read and write, SOQL to match."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from services.writer.sinks import Present, Saved, Write, Written
from services.writer.sinks.repeats import repeats
from services.writer.sinks.salesforce.calls import calls
from services.writer.sinks.salesforce.values import canonical, fold, literal, version
from syncline.contracts.errors import Fatal, RecordRejected, SessionExpired, Transient
from syncline.contracts.ref import Fields, Value
from syncline.salesforce import collections
from syncline.salesforce.client import Salesforce
from syncline.salesforce.errors import LocatorExpired
from syncline.salesforce.soql import Name, Names, bind, chunks

STAMP = "SystemModstamp"
GONE = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")
"""Codes for a record that is not there (REST API, "Status Codes and Error Responses")."""

Send = Callable[[Sequence[collections.Row]], Awaitable[list[collections.Outcome]]]


async def salesforce_sink(client: Salesforce, objects: Collection[str]) -> SalesforceSink:
    """Knowing the fields of these objects. Raises Transient, Fatal."""
    return SalesforceSink(client, await _kinds(client, objects))


async def _kinds(client: Salesforce, objects: Collection[str]) -> dict[str, dict[str, str]]:
    kinds = {}
    for name in objects:
        with _reactions(f"describing {name}"):
            described = await client.describe(name)
        kinds[name] = {each["name"]: str(each["type"]) for each in described["fields"]}
    return kinds


@dataclass
class SalesforceSink:
    """kinds: object to field to `type` in its describe. calls: write calls, rows: rows saved; each by `update`,
    `upsert` and `create`, for metrics."""

    client: Salesforce
    kinds: Mapping[str, Mapping[str, str]]
    calls: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    async def refresh(self) -> None:
        self.kinds = await _kinds(self.client, self.kinds.keys())

    def canonical(self, name: str, fields: Fields) -> Fields:
        """Raises RecordRejected for an object or a field that the org does not show."""
        kinds = self.kinds.get(name, {})
        if missing := tuple(each for each in fields if each not in kinds):
            raise RecordRejected(
                f"{name} has no field {', '.join(missing)}" if kinds else f"the object {name} was not described",
                code="INVALID_FIELD" if kinds else "INVALID_TYPE",
                fields=missing,
                remedy="Check names and the integration user's access, restart the writer, then retry the dead letter.",
            )
        return {each: canonical(kinds[each], value) for each, value in fields.items()}

    async def read(self, name: str, ids: Collection[str], fields: Collection[str]) -> dict[str, Present]:
        asked = list(dict.fromkeys(ids))
        with _reactions(f"reading {len(asked)} records of {name}"):
            records = await self.client.retrieve(name, asked, sorted({*fields, STAMP}))
        return {each: _present(each, record, fields) for each, record in zip(asked, records, strict=True) if record}

    async def match(
        self, name: str, rule: tuple[str, ...], values: Sequence[tuple[Value, ...]], fields: Collection[str]
    ) -> list[list[Present]]:
        """Asks for the rule's most telling field (the one of most values), and compares the others here."""
        kinds = [self.kinds[name][each] for each in rule]
        literals = {asked: found for asked in values if (found := _literals(kinds, asked))}
        if not literals:
            return [[] for _ in values]
        chosen = max(range(len(rule)), key=lambda at: len({found[at] for found in literals.values()}))
        statements = chunks(
            "SELECT {names} FROM {name} WHERE {chosen} IN {values}",
            over="values",
            names=Names(["Id", STAMP, *sorted({*fields, *rule})]),
            name=Name(name),
            chosen=Name(rule[chosen]),
            values=[found[chosen] for found in literals.values()],
        )
        matches: defaultdict[tuple[Value, ...], dict[str, Present]] = defaultdict(dict)
        with _reactions(f"matching {len(literals)} records of {name} by {', '.join(rule)}"):
            for statement in statements:
                async for page in self.client.query(statement):
                    for record in page.records:
                        present = _present(record["Id"], record, fields)
                        matches[_folded(kinds, [record[each] for each in rule])][present.id] = present
        return [[*matches[_folded(kinds, asked)].values()] if asked in literals else [] for asked in values]

    async def write(self, name: str, writes: Sequence[Write]) -> list[Written]:
        """Raises Transient while no row's outcome is known; later it is the outcome of the rows that are left.

        A create without key is never sent twice: whoever gets a Transient for it has to match again.
        """
        outcomes: dict[int, Written] = dict(repeats(writes))
        failed: Transient | None = None
        for kind, send, places in self._calls(name, writes, outcomes.keys()):
            if failed:
                outcomes |= dict.fromkeys(places, Transient("not sent: a call before it failed", failed.retry_after))
                continue
            # The clock of a reply from before this call: no later than what the call will be stamped with.
            sent = version(self.client.server_time) if self.client.server_time else ""
            self.calls[kind] += 1
            try:
                with _reactions(f"writing {len(places)} records of {name}"):
                    results = await send([_row(writes[place]) for place in places])
            except Transient as error:
                if not any(isinstance(each, Saved | RecordRejected) for each in outcomes.values()):
                    raise
                failed = error
                outcomes |= dict.fromkeys(places, error)
                continue
            for place, result in zip(places, results, strict=True):
                if isinstance(result, collections.Saved):
                    outcomes[place] = Saved(result.id, result.created, sent, _before(writes[place], result))
                    self.rows[kind] += 1
                else:
                    outcomes[place] = result
        return [outcomes[place] for place in range(len(writes))]

    async def delete(self, name: str, ids: Sequence[str]) -> list[Written]:
        sent = version(self.client.server_time) if self.client.server_time else ""
        with _reactions(f"deleting {len(ids)} records of {name}"):
            outcomes = await self.client.delete(list(ids))
        self.calls["delete"] += -(-len(ids) // collections.WRITE_ROWS)
        done: list[Written] = []
        for id18, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, RecordRejected) and outcome.code in GONE:
                outcome = collections.Saved(id18, created=False)
            if isinstance(outcome, collections.Saved):
                done.append(Saved(id18, False, sent))
                self.rows["delete"] += 1
            else:
                done.append(outcome)
        return done

    async def _update(self, name: str, rows: Sequence[collections.Row]) -> list[collections.Outcome]:
        return await self.client.exchange(name, rows, {STAMP, *(each for row in rows for each in row)} - {"Id"})

    def _calls(
        self, name: str, writes: Sequence[Write], without: Collection[int]
    ) -> Iterator[tuple[str, Send, list[int]]]:
        for kind, key, places in calls(writes, without):
            send: Send = {
                "update": partial(self._update, name),
                "upsert": partial(self.client.upsert, name, key),
                "create": partial(self.client.create, name),
            }[kind]
            yield kind, send, places


def _row(write: Write) -> Fields:
    if write.id is not None:
        return {**write.values, "Id": write.id}
    return {**write.values, **dict([write.key] if write.key else [])}


def _before(write: Write, saved: collections.Saved) -> Present | None:
    return _present(saved.id, saved.before, write.values) if saved.before else None


def _present(record_id: str, record: Mapping[str, Any], fields: Collection[str]) -> Present:
    stamp = version(datetime.fromisoformat(record[STAMP]))
    return Present(record_id, {each: record[each] for each in fields}, stamp, stamp)


def _literals(kinds: Sequence[str], values: Sequence[Value]) -> tuple[Any, ...] | None:
    """None for what nothing can match: an empty value, or one that the field or SOQL cannot hold."""
    if any(canonical("string", value) is None for value in values):
        return None
    try:
        found = tuple(literal(kind, value) for kind, value in zip(kinds, values, strict=True))
        bind(found)
    except ValueError:
        return None
    return found


def _folded(kinds: Sequence[str], values: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(fold(kind, value) for kind, value in zip(kinds, values, strict=True))


@contextmanager
def _reactions(doing: str) -> Iterator[None]:
    """What the client raises of a whole call, as one of the two that a sink raises."""
    try:
        yield
    except (SessionExpired, LocatorExpired) as error:
        raise Transient(f"{doing}: {error}") from error
    except RecordRejected as error:
        raise Fatal(f"{doing}: {error}. {error.remedy}") from error
