"""What travels from the first hop to the second, on the topic `mapped`: commands and what they still wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.contracts import codec
from syncline.contracts.command import Command
from syncline.contracts.ref import Object, Ref


@dataclass(frozen=True, slots=True)
class Wait:
    """The command goes on when `on` is synced to an object of kind `target`; `field` then takes its id there.

    field None only waits (a deferred reference waits for its own record last).
    """

    on: Ref
    target: Object
    field: str | None

    @property
    def synced(self) -> bytes:
        """Key of the table `synced`."""
        return f"{self.on}>{self.target}".encode()

    @property
    def held(self) -> bytes:
        """Start of the keys of all that is held for this; alone it is the row that says the parent was asked for."""
        return f"{self.on}>{self.target}\0".encode()

    def slot(self, command: Command) -> bytes:
        """Key of the table `held`: one row for each child, pipeline and field that waits."""
        return b"%s%s\0%s\0%s" % (
            self.held,
            str(command.source).encode(),
            command.pipeline.encode(),
            (self.field or "").encode(),
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """affinity: the key of the command, by which a parent and its children meet in one partition of the writer.

    left: the record no longer waits for waits[0] (it moved); what is held for it up to this version is dropped.
    """

    command: Command
    waits: tuple[Wait, ...]
    affinity: str
    left: bool = False

    @property
    def key(self) -> bytes:
        """Everything is decided in the partition of what is waited for next."""
        return str(self.waits[0].on).encode() if self.waits else self.affinity.encode()

    def encode(self) -> bytes:
        return codec.encode(
            {
                "command": self.command.document(),
                "waits": [[str(wait.on), str(wait.target), wait.field] for wait in self.waits],
                "affinity": self.affinity,
                "left": self.left,
            }
        )

    @classmethod
    def decode(cls, raw: bytes | None) -> Mapped:
        """Raises Malformed."""
        return cls.read(codec.decode(raw))

    @classmethod
    def read(cls, document: dict[str, Any]) -> Mapped:
        """Raises Malformed."""
        return cls(
            command=Command.read(codec.take(document, "command", dict)),
            waits=tuple(_wait(*wait) for wait in codec.take(document, "waits", list)),
            affinity=codec.take(document, "affinity", str),
            left=codec.take(document, "left", bool),
        )


def _wait(on: str, target: str, field: str | None) -> Wait:
    system, _, name = target.partition("/")
    return Wait(Ref.parse(on), Object(system, name), field)
