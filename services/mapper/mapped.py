"""What travels from the first hop to the second, on the topic `mapped`: commands and what they still wait for.

Two lines of JSON: what the second hop has to know, then the command as the writer will get it. A command is a kilobyte
and is decided on by its first line alone, so the second hop never takes it apart.
"""

from __future__ import annotations

from functools import lru_cache

import orjson
from msgspec import MsgspecError, Struct
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace

from syncline.contracts.command import Command
from syncline.contracts.errors import Malformed

END = b"}}"
"""How a command ends: `fields` are its last attribute."""


class Wait(Struct, frozen=True, array_like=True):
    """The command goes on when the record `on` (system/object/id) is synced to one of the kind `target`
    (system/object); `field` then takes its id there. field None only waits (a deferred reference waits for its own
    record last)."""

    on: str
    target: str
    field: str | None

    @property
    def synced(self) -> bytes:
        """Key of the table `synced`."""
        return f"{self.on}>{self.target}".encode()

    @property
    def held(self) -> bytes:
        """Start of the keys of all that is held for this; alone it is the row that says the parent was asked for."""
        return f"{self.on}>{self.target}\0".encode()


class Head(Struct, frozen=True):
    """source, pipeline, version: the command's. system: the one that it is for.
    affinity: the key of the command, by which a parent and its children meet in one partition of the writer.
    left: the record no longer waits for waits[0] (it moved); what is held for it up to this version is dropped.
    """

    source: str
    pipeline: str
    version: str
    system: str
    affinity: str
    waits: tuple[Wait, ...]
    left: bool = False

    @property
    def key(self) -> bytes:
        """Everything is decided in the partition of what is waited for next."""
        return (self.waits[0].on if self.waits else self.affinity).encode()

    @property
    def slot(self) -> bytes:
        """Key of the table `held`: one row for each child, pipeline and field that waits."""
        wait = self.waits[0]
        return f"{wait.on}>{wait.target}\0{self.source}\0{self.pipeline}\0{wait.field or ''}".encode()


@lru_cache(maxsize=1024)
def _named(field: str) -> bytes:
    return orjson.dumps(field) + b":"


_head = Encoder().encode
_read = Decoder(Head).decode


class Mapped(Struct, frozen=True):
    """command: encoded."""

    head: Head
    command: bytes

    @classmethod
    def of(cls, command: Command, waits: tuple[Wait, ...], affinity: str, *, left: bool = False) -> Mapped:
        source, system = str(command.source), command.target.system
        head = Head(source, command.pipeline, command.version, system, affinity, waits, left)
        return cls(head, command.encode())

    def filled(self, target: str) -> bytes:
        """The command with the id of what was waited for first."""
        field, command = self.head.waits[0].field, self.command
        if field is None:
            return command
        start = b"" if command.endswith(b"{}}") else b","
        return b"".join((command[:-2], start, _named(field), orjson.dumps(target), END))

    def further(self, target: str) -> Mapped:
        """What is left to wait for once the first of it is synced."""
        return Mapped(replace(self.head, waits=self.head.waits[1:]), self.filled(target))

    def encode(self) -> bytes:
        return b"%b\n%b" % (_head(self.head), self.command)

    @classmethod
    def decode(cls, raw: bytes | None) -> Mapped:
        """Raises Malformed. The command is checked by the writer."""
        first, _, command = (raw or b"").partition(b"\n")
        try:
            head = _read(first)
        except (MsgspecError, ValueError) as error:
            raise Malformed(f"the first line is not what the first hop writes: {error}") from error
        if not command.endswith(END):
            raise Malformed("the second line is no command that ends with its fields")
        return cls(head, command)
