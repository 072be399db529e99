"""What travels from the first hop to the second, on the topic `mapped`: commands and what they still wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.contracts import codec
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


@dataclass(frozen=True, slots=True)
class Mapped:
    """command: as its document, for the second hop only passes it on and fills in a field.
    affinity: the key of the command, by which a parent and its children meet in one partition of the writer.
    left: the record no longer waits for waits[0] (it moved); what is held for it up to this version is dropped.
    """

    command: dict[str, Any]
    waits: tuple[Wait, ...]
    affinity: str
    left: bool = False

    @property
    def key(self) -> bytes:
        """Everything is decided in the partition of what is waited for next."""
        return str(self.waits[0].on).encode() if self.waits else self.affinity.encode()

    @property
    def version(self) -> str:
        version: str = self.command["version"]
        return version

    @property
    def slot(self) -> bytes:
        """Key of the table `held`: one row for each child, pipeline and field that waits."""
        wait, command = self.waits[0], self.command
        parts = (f"{wait.on}>{wait.target}", command["source"], command["pipeline"], wait.field or "")
        return "\0".join(parts).encode()

    def encode(self) -> bytes:
        return codec.encode(
            {
                "command": self.command,
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
        """Raises Malformed. The command is checked by the writer."""
        command = codec.take(document, "command", dict)
        for name in ("source", "pipeline", "version", "target"):
            codec.take(command, name, str, "command")
        codec.take(command, "fields", dict, "command")
        return cls(
            command=command,
            waits=tuple([_wait(*wait) for wait in codec.take(document, "waits", list)]),
            affinity=codec.take(document, "affinity", str),
            left=codec.take(document, "left", bool),
        )


def _wait(on: str, target: str, field: str | None) -> Wait:
    system, _, name = target.partition("/")
    return Wait(Ref.parse(on), Object(system, name), field)
