"""What the loop and the requests ask of the outside: adapters in life, doubles in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Protocol

from services.poller.sources import Position
from syncline.contracts.ref import Object
from syncline.runtime.kafka import Message
from syncline.salesforce.pages import Page
from syncline.salesforce.protocol import Limits, Request
from syncline.state.leases import Lease


class Publishes(Protocol):
    async def publish(self, messages: Iterable[Message]) -> None:
        """Returns when the broker has all of them; raises Transient."""


class CursorStore(Protocol):
    async def load(self, kind: Object) -> Position | None: ...

    async def store(self, lease: Lease, position: Position) -> None:
        """Raises LeaseLost, Transient."""


class Queries(Protocol):
    """The part of a Salesforce client that reading needs."""

    @property
    def usage(self) -> Limits | None: ...
    @property
    def server_time(self) -> datetime | None: ...

    async def request(self, request: Request) -> Any: ...
    def query(self, soql: str, *, include_deleted: bool = False) -> AsyncIterator[Page]: ...
