"""From a message on a foreign topic to the change event that goes on."""

from __future__ import annotations

from syncline.contracts.change import Change
from syncline.contracts.foreign import cloudevents, debezium
from syncline.contracts.foreign.door import Door, Message, refusal
from syncline.contracts.topics import EVENT_BYTES

READERS = {"cloudevents": cloudevents.read, "debezium": debezium.read}


def read(door: Door, message: Message) -> tuple[Change, bytes] | None:
    """The change and its event; None where a message says nothing of its own. Raises RecordRejected."""
    change = READERS[door.format](door, message)
    if change is None:
        return None
    event = change.encode()
    if len(event) > EVENT_BYTES:
        largest = max(change.fields, key=lambda field: len(str(change.fields[field])), default="")
        raise refusal(
            f"a change event of {len(event)} bytes is over the limit of {EVENT_BYTES}",
            "Leave the large field out of the mapping, or shorten it in the source.",
            largest,
            code="EVENT_TOO_LARGE",
        )
    return change, event
