"""Both hops of the mapper over tables in memory: all that it must say, without Kafka, RocksDB and the engine."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from services.mapper.engine import Effects, Input, Reader
from services.mapper.join import HELD, SYNCED_TABLE, Join
from services.mapper.records import RECORDS, Records
from syncline.config.model import Config
from syncline.contracts.topics import Names
from syncline.runtime.kafka import Message

Tables = dict[str, dict[bytes, bytes]]


class Hops:
    """`tables` may be read at any time."""

    def __init__(self, config: Config, names: Names) -> None:
        self._names = names
        self._records = Records(config, names)
        self._join = Join(names)
        self.tables: Tables = {RECORDS: {}, SYNCED_TABLE: {}, HELD: {}}

    def run(self, messages: Iterable[Message]) -> list[Message]:
        """What leaves the mapper for these changes and results."""
        inbox, leaving = list(messages), list[Message]()
        while inbox:
            joining = [each for each in inbox if each.topic in (self._names.mapped, self._names.results)]
            coming = [each for each in inbox if each.topic not in (self._names.mapped, self._names.results)]
            made = [*self._pass(self._join.run, joining), *self._pass(self._records.run, coming)]
            inbox = [each for each in made if each.topic == self._names.mapped]
            leaving += [each for each in made if each.topic != self._names.mapped]
        return leaving

    def first(self, messages: Sequence[Message]) -> list[Message]:
        """What the first hop alone says to the second."""
        return [each for each in self._pass(self._records.run, messages) if each.topic == self._names.mapped]

    def _pass(self, hop: Callable[[Sequence[Input], Reader], Effects], messages: Sequence[Message]) -> list[Message]:
        inputs = [Input(each.topic, 0, at, each.key, each.value, 0) for at, each in enumerate(messages)]
        effects = hop(inputs, _Stored(self.tables))
        for table, rows in effects.changes.items():
            for key, value in rows.items():
                if value is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = value
        return [
            Message(each.topic, each.key, each.value if isinstance(each.value, bytes) else each.value.encode())
            for each in effects.outputs
        ]


class _Stored:
    """The tables as one pass sees them; they do not change under it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._keys: dict[str, list[bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._tables[table].get(key)

    def scan(self, table: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        if table not in self._keys:
            self._keys[table] = sorted(self._tables[table])
        keys = self._keys[table]
        for at in range(bisect_left(keys, prefix), len(keys)):
            if not keys[at].startswith(prefix):
                return
            yield keys[at], self._tables[table][keys[at]]
