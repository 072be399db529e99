"""How a Salesforce object is read without missing a row; pure.

Rows come in the order (SystemModstamp, Id), and the position is the last one that was published. SystemModstamp has
whole seconds and is given before the commit, so a row can appear behind the position: each poll reads an overlap
again, and a bounded memory of event ids drops what it has published already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from syncline.contracts.change import Change
from syncline.salesforce.soql import Name, Names, soql

READ_ALWAYS = ("Id", "SystemModstamp", "CreatedDate", "IsDeleted", "LastModifiedById")
"""What every event needs, whatever the mappings use."""


def normal(stamp: str) -> str:
    """`2026-11-20T10:00:00.000+0000`, as Salesforce writes it, as the sortable text `2026-11-20T10:00:00.000Z`."""
    return stamp.removesuffix("+0000") + "Z" if stamp.endswith("+0000") else text(datetime.fromisoformat(stamp))


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Position(NamedTuple):
    """stamp: normal SystemModstamp. id: "" is before every record."""

    stamp: str
    id: str

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Position:
        return cls(document["stamp"], document["id"])

    def document(self) -> dict[str, Any]:
        return self._asdict()

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.stamp)


@dataclass(frozen=True, slots=True)
class Window:
    """What one poll reads: `low` <= SystemModstamp <= `high`."""

    low: datetime
    high: datetime


def window(
    position: Position | None,
    *,
    now: datetime,
    settled: datetime | None,
    lag: float,
    overlap: float,
    first_days: float,
) -> Window:
    """now: the server's clock; settled: the upper bound of this process's last complete poll; lag, overlap: seconds.

    The position is moved by rows and never by a clock, so a clock that jumps ahead skips nothing. Once the server's
    clock is an overlap past the position, no late row is expected before it and nothing is read again: otherwise an
    object that rests after a mass update would be re-read for ever.
    """
    high = now.replace(microsecond=0) - timedelta(seconds=lag)
    if position is None:
        return Window(min(now - timedelta(days=first_days), high), high)
    late = position.moment - timedelta(seconds=overlap)
    if settled is not None:
        late = max(late, settled - timedelta(seconds=overlap))
    return Window(min(position.moment, late), high)


def plan_query(name: str, fields: Iterable[str], window: Window, after: Position | None = None) -> str:
    """Rows of the window; `after` resumes behind a row when the locator of a query has died ("QueryLocator")."""
    names = {"fields": Names([*READ_ALWAYS, *sorted(fields)]), "name": Name(name)}
    if after is None:
        return soql(
            "SELECT {fields} FROM {name} WHERE SystemModstamp >= {low} AND SystemModstamp <= {high}"
            " ORDER BY SystemModstamp, Id",
            # Cut downwards: a stamp has whole seconds.
            low=window.low.replace(microsecond=0),
            high=window.high,
            **names,
        )
    return soql(
        "SELECT {fields} FROM {name} WHERE ((SystemModstamp = {stamp} AND Id > {id}) OR SystemModstamp > {stamp})"
        " AND SystemModstamp <= {high} ORDER BY SystemModstamp, Id",
        stamp=after.moment,
        id=after.id,
        high=window.high,
        **names,
    )


def place(row: Mapping[str, Any]) -> Position:
    return Position(normal(row["SystemModstamp"]), row["Id"])


def advance(position: Position | None, rows: Sequence[Mapping[str, Any]]) -> Position | None:
    """The later of the position and the last row: reading the overlap again does not move it back."""
    if not rows:
        return position
    last = place(rows[-1])
    return last if position is None else max(position, last)


class Seen:
    """The ids of published events, so that reading the overlap again publishes nothing twice.

    Bounded twice: by `forget`, and by `most` ids. What finds no room is published again under the same id, which the
    mapper drops. Nothing is evicted for it: since the overlap is read from its start each time, dropping the oldest
    would have forgotten every id just before it is met again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._versions: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._versions)

    def fresh(self, changes: Collection[Change]) -> list[Change]:
        return [change for change in changes if change.id not in self._versions]

    def add(self, changes: Iterable[Change]) -> None:
        room = self._most - len(self._versions)
        self._versions.update((change.id, change.version) for change in islice(changes, max(0, room)))

    def forget(self, before: str) -> None:
        """Drop the events that no later poll reads again: those of a version below `before`."""
        self._versions = {event: version for event, version in self._versions.items() if version >= before}
