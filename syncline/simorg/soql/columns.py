"""Field names of a statement, resolved against the schema: which field, and how to get its value from a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from syncline.simorg.errors import SalesforceError
from syncline.simorg.metadata import Field, Schema, SObject
from syncline.simorg.soql.parser import located
from syncline.simorg.soql.syntax import Path
from syncline.simorg.store import Record, Store
from syncline.simorg.values import Value

Getter = Callable[[Record], Value]
_MAX_DEPTH = 5
"""Levels of parents in one path: "Understanding Relationship Query Limitations" in the SOQL and SOSL Reference."""


@dataclass(frozen=True, slots=True)
class Column:
    """`lookups` lead from the queried object to the one that holds `field`."""

    lookups: tuple[Field, ...]
    owner: SObject
    field: Field
    get: Getter


class Columns:
    """Resolves the paths of one statement."""

    def __init__(self, text: str, source: SObject, schema: Schema, store: Store) -> None:
        self._text = text
        self._source = source
        self._schema = schema
        self._store = store

    def resolve(self, path: Path) -> Column:
        """Raises INVALID_FIELD for a column or relationship that does not exist."""
        names = path.names
        own_name = names[0].lower() == self._source.name.lower() and self._source.relationship(names[0]) is None
        if len(names) > 1 and own_name:
            names = names[1:]
        owner, lookups = self._source, list[Field]()
        for name in names[:-1]:
            lookup = owner.relationship(name)
            target = self._schema.sobject(lookup.reference_to[0]) if lookup else None
            if lookup is None or target is None or len(lookups) == _MAX_DEPTH:
                raise self.invalid_field(
                    path,
                    f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names.",
                )
            lookups.append(lookup)
            owner = target
        field = owner.field(names[-1])
        if field is None:
            raise self.invalid_field(
                path,
                f"No such column '{names[-1]}' on entity '{owner.name}'. If you are attempting to use a custom field, "
                "be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe "
                "call for the appropriate names.",
            )
        return Column(tuple(lookups), owner, field, self._getter(tuple(lookups), field.name))

    def invalid_field(self, path: Path, message: str) -> SalesforceError:
        return SalesforceError(400, "INVALID_FIELD", located(message, self._text, path.line, path.column))

    def _getter(self, lookups: tuple[Field, ...], name: str) -> Getter:
        if not lookups:
            return lambda record: record.get(name)
        parent = self.parent(lookups)

        def get(record: Record) -> Value:
            found = parent(record)
            return None if found is None else found.get(name)

        return get

    def parent(self, lookups: tuple[Field, ...]) -> Callable[[Record], Record | None]:
        """From a row to the record that the lookups lead to; None where one is empty."""
        steps = [(field.name, self._store.table(field.reference_to[0])) for field in lookups]

        def follow(record: Record) -> Record | None:
            found: Record | None = record
            for name, table in steps:
                id18 = found.get(name) if found is not None else None
                found = None if id18 is None else table.get(str(id18))
            return found

        return follow
