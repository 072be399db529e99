"""From a row of a Salesforce query to a change event; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.poller.cursor import normal
from syncline.contracts.change import Change, Op
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Fields, Object, Ref


class Rows:
    """Reads the rows of one object. fields: as configured; `Account.Name` names a parent's field."""

    def __init__(self, kind: Object, instance: str, fields: Iterable[str]) -> None:
        self._kind = kind
        self._instance = instance
        self._paths = [(field, field.split(".")) for field in sorted(fields)]

    def changes(self, rows: Sequence[Mapping[str, Any]], op: Op | None = None) -> list[Change]:
        """`op` None tells creations from updates. Raises Fatal when a field is spelled otherwise than in Salesforce."""
        return [self._change(row, op) for row in rows]

    def _change(self, row: Mapping[str, Any], op: Op | None) -> Change:
        stamp = normal(row["SystemModstamp"])
        deleted = row["IsDeleted"]
        if deleted:
            op = "delete"
        elif op is None:
            op = "create" if row["CreatedDate"] == row["SystemModstamp"] else "update"
        return Change(
            ref=Ref(*self._kind, row["Id"]),
            instance=self._instance,
            op=op,
            version=stamp,
            time=stamp,
            fields={} if deleted else self._fields(row),
            origin=row["LastModifiedById"],
        )

    def _fields(self, row: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        for field, path in self._paths:
            value: Any = row
            for part in path:
                if value is None:
                    break
                if part not in value:
                    raise Fatal(f"{self._kind} has no {field} in Salesforce's reply: spell it as Describe does")
                value = value[part]
            fields[field] = value
        return fields
