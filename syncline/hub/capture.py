"""Change capture: triggers that log which records a statement touched, and reading that log without missing any.

A record's version is the newest seq of it that is visible in the same snapshot as its row. A transaction that is still
running may hold a smaller seq than one that has committed, so no seq says "read up to here": the xid does. Rows whose
xid is below every running transaction's are final, and no row can appear among them any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any, NamedTuple

from syncline.contracts.errors import Fatal
from syncline.hub.tables import HubObject, describe, quoted, quoted_table
from syncline.runtime.postgres import errors
from syncline.runtime.sql import statements

SQL = statements("syncline.hub", "capture.sql")
CHANNEL = "syncline_capture"
"""NOTIFY's channel; the payload is the object that was touched."""

_NAME_BYTES = 63  # PostgreSQL cuts longer identifiers
_EVENTS = {
    "insert": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
    "truncate": "BEFORE TRUNCATE ON {table}",
}


class Trigger(NamedTuple):
    """One event of one table that is logged as a change of the object whose key `column` holds."""

    table: str
    object: str
    column: str
    event: str

    @property
    def name(self) -> str:
        """Raises Fatal when PostgreSQL would cut it."""
        name = f"syncline:{self.object}:{self.column}:{self.event}"
        if len(name.encode()) > _NAME_BYTES:
            raise Fatal(f"the trigger name {name} is longer than {_NAME_BYTES} bytes: give the object a shorter name")
        return name

    @property
    def statement(self) -> str:
        event = _EVENTS[self.event].format(table=quoted_table(self.table))
        arguments = ", ".join("'" + part.replace("'", "''") + "'" for part in (self.object, self.column))
        return (
            f"CREATE OR REPLACE TRIGGER {quoted(self.name)} {event}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION syncline_capture.log({arguments})"
        )


class Logged(NamedTuple):
    seq: int
    xid: str
    key: str


class Version(NamedTuple):
    """text sorts; time is RFC 3339; origin is the writer's application_name; settled: no running transaction can
    have logged the record before this."""

    text: str
    time: str
    origin: str | None
    settled: bool


NEVER_LOGGED = Version("0" * 20, "1970-01-01T00:00:00.000Z", None, True)
"""Of a record that nobody touched since capture began: older than every other version and every dated change."""


async def create_hub(pool: Any) -> None:
    """Make the shipped schema where it is missing."""
    with errors("creating the schema hub"):
        await pool.execute(files("syncline.hub").joinpath("schema.sql").read_text(encoding="utf-8"))


async def install(pool: Any, objects: Mapping[str, HubObject]) -> list[str]:
    """Make log and triggers, and drop those that an object no longer needs; returns the triggers that were made.

    Raises Fatal when a table or column is missing, or the user may not create triggers.
    """
    for described in objects.values():
        await describe(pool, described)
    with errors("installing the change capture"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["install"])
            missing, stale = await _compare(connection, objects)
            for statement in [*(trigger.statement for trigger in missing), *stale]:
                await connection.execute(statement)
    return [f"{trigger.table} {trigger.event} of {trigger.object}" for trigger in missing]


async def check_installed(pool: Any, objects: Mapping[str, HubObject]) -> None:
    """Raises Fatal naming every trigger that is missing or disabled."""
    with errors("looking for the change capture"):
        async with pool.acquire() as connection:
            missing, _ = await _compare(connection, objects)
    if missing:
        places = ", ".join(f"{trigger.table} ({trigger.object} {trigger.event})" for trigger in missing)
        raise Fatal(f"changes are not captured on {places}: run `syncline migrate`")


async def horizon(connection: Any) -> tuple[str, str]:
    """(below it every transaction has ended, above it none has begun), as xid8 in decimals."""
    row = await connection.fetchrow(SQL["bounds"])
    return row["horizon"], row["newest"]


async def logged(connection: Any, name: str, xid: str, seq: int, most: int) -> list[Logged]:
    """The log of an object after (xid, seq), in that order, as far as it is final."""
    return [Logged(*row) for row in await connection.fetch(SQL["logged"], name, xid, seq, most)]


async def versions(connection: Any, name: str, keys: Collection[str]) -> dict[str, Version]:
    """The newest visible version of each record; NEVER_LOGGED is left out."""
    rows = await connection.fetch(SQL["versions"], name, list(keys))
    return {key: Version(f"{seq:020d}", time, origin, settled) for key, seq, time, origin, settled in rows}


async def touched(connection: Any, name: str, after: str | None, since: datetime | None, most: int) -> list[str]:
    """The keys that were ever logged, or since then, in their order; those of deleted records among them."""
    return [row["key"] for row in await connection.fetch(SQL["touched"], name, after, since, most)]


async def prune(pool: Any, name: str, xid: str, seconds: float, most: int = 10_000) -> int:
    """Delete up to `most` rows below `xid` and older than `seconds` that a later one of the record supersedes.

    A record's newest row stays for ever: it carries the version.
    """
    with errors(f"pruning the change log of {name}"):
        done: str = await pool.execute(SQL["prune"], name, xid, seconds, most)
    return int(done.rpartition(" ")[2])


async def _compare(connection: Any, objects: Mapping[str, HubObject]) -> tuple[list[Trigger], list[str]]:
    """The triggers that are missing, and the statements that drop those of these objects that are too many."""
    wanted = list(_wanted(objects))
    names = [quoted_table(trigger.table) for trigger in wanted]
    tables = {row["name"]: row["table_id"] for row in await connection.fetch(SQL["tables"], names)}
    present = {(row["table_id"], row["name"]): row["on_table"] for row in await connection.fetch(SQL["triggers"])}
    places = {(tables[name], trigger.name): trigger for name, trigger in zip(names, wanted, strict=True)}
    stale = [
        f"DROP TRIGGER {quoted(place[1])} ON {on_table}"
        for place, on_table in present.items()
        if place not in places and place[1].split(":")[1] in objects
    ]
    return [trigger for place, trigger in places.items() if place not in present], stale


def _wanted(objects: Mapping[str, HubObject]) -> Iterator[Trigger]:
    """A table may feed several objects, or one object by several columns; the same one twice is one."""
    places = {
        (table, name, column): None
        for name, described in objects.items()
        for table, column in [
            (described.table, described.key),
            *((embed.table, embed.owner) for embed in described.embed.values()),
        ]
    }
    for table, name, column in places:
        for event in _EVENTS:
            yield Trigger(table, name, column, event)
