"""A message as it was read back from a topic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Fetched(Protocol):
    """What of aiokafka's ConsumerRecord is needed; `timestamp` is in milliseconds since 1970."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


def where(record: Fetched) -> str:
    """As dead letters write a position."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
