"""Names of records and objects that are unique across systems."""

from __future__ import annotations

from typing import Any, NamedTuple

from syncline.contracts.errors import Malformed

Value = str | int | float | bool | None
"""What a field can hold on the wire: a JSON scalar. Dates and times are ISO 8601 strings."""

Fields = dict[str, Value]
"""Field name to value. A name that is absent is unknown or unchanged; None is empty."""


class Object(NamedTuple):
    """An object (table, sObject) of one system, written `system/object`."""

    system: str
    name: str

    def __str__(self) -> str:
        return f"{self.system}/{self.name}"


class Ref(NamedTuple):
    """One record of one system, written `system/object/id`; the key of records on `mapped`, commands and results."""

    system: str
    object: str
    id: str

    def __str__(self) -> str:
        return f"{self.system}/{self.object}/{self.id}"

    @property
    def kind(self) -> Object:
        return Object(self.system, self.object)

    @classmethod
    def parse(cls, text: Any) -> Ref:
        """Read `system/object/id`; the id may itself hold slashes. Raises Malformed."""
        parts = text.split("/", 2) if isinstance(text, str) else []
        if len(parts) != 3 or not all(parts):
            raise Malformed(f"a record is named system/object/id, not {text!r}")
        return cls(*parts)
