"""Children by the million, cheaply: what the first hop says of one Contact, with other ids for each of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from benchmarks.hops import Hops
from benchmarks.stage import Bench
from benchmarks.workload import ACCOUNT, CONTACT, changes, org, results
from services.poller.events import messages
from syncline.contracts.ref import Ref
from syncline.runtime.kafka import Message

AT_ONCE = 20_000


class Children:
    """Contacts and Accounts of one scene, whose ids begin with its name."""

    def __init__(self, bench: Bench, scene: str) -> None:
        self._names = bench.system.names
        self._scene = scene
        config = bench.system.config
        rows = org(1, 1)
        [contact] = changes(config, CONTACT, rows["Contact"])
        [account] = changes(config, ACCOUNT, rows["Account"])
        [self._mapped] = Hops(config, self._names).first(messages([contact], self._names))
        [self._result] = results([account])
        self._child, self._parent = contact.ref.id, account.ref.id

    def mapped(self, count: int, parents: int) -> Iterator[Message]:
        child, parent = self._child.encode(), self._parent.encode()
        for number in range(count):
            own, of = self._id("C", number), self._id("A", number % parents)
            value = self._mapped.value.replace(child, own).replace(parent, of)
            yield Message(self._mapped.topic, self._mapped.key.replace(parent, of), value)

    def synced(self, parents: int) -> Iterator[Message]:
        """The result of each parent under its own key; the one under its target's wakes nobody."""
        key, parent = str(Ref(*ACCOUNT, self._parent)).encode(), self._parent.encode()
        value = self._result.encode()
        for number in range(parents):
            of = self._id("A", number)
            yield Message(self._names.results, key.replace(parent, of), value.replace(parent, of))

    def _id(self, kind: str, number: int) -> bytes:
        return f"{self._scene}{kind}{number:010}".encode()


async def publish(bench: Bench, given: Iterable[Message]) -> None:
    """A part at a time, for all of them would be gigabytes."""
    rest = iter(given)
    while part := list(islice(rest, AT_ONCE)):
        await bench.publish(part)
