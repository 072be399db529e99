"""What the loop and the requests ask of the outside: adapters in life, doubles in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Protocol

from services.poller.sources import Position
from syncline.contracts.ref import Object
from syncline.runtime.kafka import Headers, Message
from syncline.salesforce.pages import Page
from syncline.salesforce.protocol import Limits, Request
from syncline.state.leases import Lease
from syncline.state.resyncs import Resync, Step


class Publishes(Protocol):
    async def publish(self, messages: Iterable[Message], headers: Headers = ()) -> None:
        """Returns when the broker has all of them; raises Transient. `headers` go with each."""


class CursorStore(Protocol):
    async def load(self, kind: Object) -> Position | None: ...

    async def store(self, lease: Lease, position: Position) -> None:
        """Raises LeaseLost, Transient."""


class ResyncStore(Protocol):
    async def next(self, kind: Object) -> Resync | None:
        """The oldest of this object that is not done."""

    async def store(self, lease: Lease, resync: Resync, step: Step) -> None:
        """Raises LeaseLost, Transient."""


class Queries(Protocol):
    """The part of a Salesforce client that reading needs."""

    @property
    def usage(self) -> Limits | None: ...
    @property
    def server_time(self) -> datetime | None: ...

    async def request(self, request: Request) -> Any: ...
    def query(self, soql: str, *, include_deleted: bool = False) -> AsyncIterator[Page]: ...
