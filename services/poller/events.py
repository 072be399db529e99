"""From changes to messages; one that no topic can carry becomes a dead letter and leaves its neighbours alone."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.contracts.change import Change
from syncline.contracts.deadletter import DeadLetter
from syncline.contracts.errors import RecordRejected
from syncline.contracts.topics import EVENT_BYTES, Names
from syncline.runtime.kafka import Message


def messages(changes: Iterable[Change], names: Names, topic: str | None = None) -> list[Message]:
    """topic: other than that of the object's changes."""
    return [_message(change, names, topic) for change in changes]


def _message(change: Change, names: Names, topic: str | None) -> Message:
    try:
        event = change.encode()
        if len(event) > EVENT_BYTES:
            raise RecordRejected(
                f"an event of {len(event)} bytes is over the limit of {EVENT_BYTES}",
                code="EVENT_TOO_LARGE",
                fields=(max(change.fields, key=lambda field: len(str(change.fields[field]))),),
                remedy="Leave the large field out of the mapping, or shorten it in the source.",
            )
    except RecordRejected as error:
        position = f"{change.ref} version {change.version}"
        letter = DeadLetter.of(error, stage="poller", position=position, input=None, ref=str(change.ref))
        return dead_letter(letter, names)
    return Message(topic or names.changes(change.ref.kind), change.ref.id.encode(), event)


def dead_letter(letter: DeadLetter, names: Names) -> Message:
    return Message(names.dead_letters, letter.key, letter.encode())
