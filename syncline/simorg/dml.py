"""Create, update, upsert and delete of one record, with Salesforce's checks in Salesforce's order.

Each call is one transaction: what it raises leaves nothing behind. Audit fields are set here and nowhere else.
Rules: "System Fields" and "API Field Properties" in the Object Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from syncline.simorg import errors
from syncline.simorg.compound import full_name
from syncline.simorg.drafts import Draft, ParentKey
from syncline.simorg.ids import sequence
from syncline.simorg.metadata import Child, Field, Schema, SObject
from syncline.simorg.store import Record, Store
from syncline.simorg.values import Value, check

Guard = Callable[[str], None]
"""Called with the id before a row is written; raises to refuse it (a lock error made on purpose)."""


@dataclass(frozen=True, slots=True)
class Change:
    """Who writes, and when: a stamp in whole seconds, the same for all rows of one request."""

    actor: str
    at: str
    guard: Guard


@dataclass(frozen=True, slots=True)
class Saved:
    id: str
    action: Literal["created", "updated", "deleted"]


class Dml:
    """Writes to the store. `allow_parent_cycles` lifts the refusal of circular hierarchies."""

    def __init__(self, schema: Schema, store: Store, *, allow_parent_cycles: bool = False) -> None:
        self._schema = schema
        self._store = store
        self._allow_parent_cycles = allow_parent_cycles
        self._ids: dict[str, Iterator[str]] = {s.name: sequence(s.prefix) for s in schema}

    def create(self, draft: Draft, change: Change) -> Saved:
        sobject = draft.sobject
        if not sobject.allows("createable"):
            raise errors.read_only_object("inserted", sobject.label)
        refused = [field.name for field in draft.values if not field.createable]
        if refused:
            raise errors.not_writable(refused)
        record = {"Id": self.new_id(sobject), **self.defaults(sobject, change.actor, change.at)}
        record.update((name, value) for name, value in self._checked(draft).items() if value is not None)
        self.check_required(sobject, record)
        self.check_references(sobject, record)
        self.check_unique(sobject, record, record)
        change.guard(str(record["Id"]))
        self._put(sobject, record)
        return Saved(str(record["Id"]), "created")

    def update(self, sobject: SObject, id18: str, draft: Draft, change: Change) -> Saved:
        """Moves SystemModstamp also when no value differs."""
        old = self.existing(sobject, id18)
        if not sobject.allows("updateable"):
            raise errors.read_only_object("updated", sobject.label)
        refused = [field.name for field in draft.values if not field.updateable]
        if refused:
            raise errors.not_writable(refused)
        values = self._checked(draft)
        missing = [n for n, v in values.items() if v is None and (f := sobject.field(n)) and not f.nillable]
        if missing:
            raise errors.required_missing(missing)
        self.check_references(sobject, values)
        self.check_cycles(sobject, id18, values)
        kept = ((name, value) for name, value in {**old, **values}.items() if value is not None)
        record: Record = {**dict(kept), **_modified(change.actor, change.at)}
        self.check_unique(sobject, record, values)
        change.guard(id18)
        self._put(sobject, record)
        return Saved(id18, "updated")

    def upsert(self, key: Field, value: Value, draft: Draft, change: Change, *, update_only: bool = False) -> Saved:
        """`value` is the key in its stored form. Raises SeveralMatches when it names more than one record."""
        sobject = draft.sobject
        if key.type == "id":
            return self.update(sobject, str(value), draft, change)
        ids = self._store.table(sobject).find_alive(key, value)
        if len(ids) > 1:
            raise errors.SeveralMatches(key.name, ids)
        if ids:
            return self.update(sobject, ids[0], draft, change)
        if update_only:
            raise errors.not_found()
        return self.create(Draft(sobject, {**draft.values, key: value}, draft.parents), change)

    def delete(self, sobject: SObject, id18: str, change: Change) -> list[Saved]:
        """The record first, then what its deletion took along."""
        record = self.existing(sobject, id18, unknown=errors.invalid_reference(404))
        if not sobject.allows("deletable"):
            raise errors.insufficient_access()
        change.guard(id18)
        saved = [Saved(id18, "deleted")]
        with self._store.transaction():
            self._store.table(sobject).put({**record, "IsDeleted": True, **_modified(change.actor, change.at)})
            for child in sobject.children:
                for child_id in self._store.table(child.sobject).find_alive(child.field, id18):
                    if child.restricted:
                        raise errors.delete_restricted(str(record.get("Name", id18)), child.sobject.label_plural)
                    if child.cascade:
                        saved += self.delete(child.sobject, child_id, change)
                    else:
                        self._clear_lookup(child, child_id, change)
        return saved

    def _clear_lookup(self, child: Child, id18: str, change: Change) -> None:
        """The system's change, not the user's: only SystemModstamp moves."""
        table = self._store.table(child.sobject)
        row = table.alive(id18)
        if row is not None:
            kept = {name: value for name, value in row.items() if name != child.field.name}
            table.put(kept | {"SystemModstamp": change.at})

    def existing(self, sobject: SObject, id18: str, *, unknown: errors.SalesforceError | None = None) -> Record:
        """The living record. Raises `unknown` (NOT_FOUND unless given) or ENTITY_IS_DELETED."""
        table = self._store.table(sobject)
        record = table.get(id18)
        if record is None:
            raise unknown or errors.not_found()
        if record["IsDeleted"]:
            raise errors.deleted()
        return record

    def new_id(self, sobject: SObject) -> str:
        """The next id that no record has; records loaded from outside may have taken some."""
        table = self._store.table(sobject)
        return next(id18 for id18 in self._ids[sobject.name] if table.get(id18) is None)

    def defaults(self, sobject: SObject, actor: str, at: str) -> Record:
        """What a new record holds before anything is said of it."""
        record: Record = dict(sobject.defaults)
        if sobject.field("OwnerId"):
            record["OwnerId"] = actor
        return record | {"CreatedById": actor, "CreatedDate": at, **_modified(actor, at)}

    def _put(self, sobject: SObject, record: Record) -> None:
        if "Name" in sobject.components:
            record["Name"] = full_name(record)
        self._store.table(sobject).put(record)

    def _checked(self, draft: Draft) -> dict[str, Value]:
        values = {field.name: check(field, value) for field, value in draft.values.items()}
        for parent in draft.parents:
            values[parent.lookup.name] = self.parent_id(parent)
        return values

    def parent_id(self, parent: ParentKey) -> str:
        """Raises INVALID_FIELD when no record has that external id, DUPLICATE_EXTERNAL_ID when several have."""
        value = check(parent.key, parent.value)
        ids = self._store.table(parent.target).find_alive(parent.key, value) if value is not None else ()
        if not ids:
            raise errors.missing_parent(parent.value, parent.key.name, parent.target.name)
        if len(ids) > 1:
            raise errors.several_parents(parent.key.name, ids)
        return ids[0]

    def check_references(self, sobject: SObject, values: Mapping[str, Value]) -> None:
        """Raises unless each lookup names a living record of an object that it may point to."""
        for field in sobject.references:
            if (value := values.get(field.name)) is not None:
                self._check_reference(field, str(value))

    def check_cycles(self, sobject: SObject, id18: str, values: Mapping[str, Value]) -> None:
        if self._allow_parent_cycles:
            return
        table = self._store.table(sobject)
        for field in sobject.hierarchies:
            above, seen = values.get(field.name), set[Value]()
            while above is not None and above not in seen:
                if above == id18:
                    raise errors.parent_cycle()
                seen.add(above)
                above = (table.get(str(above)) or {}).get(field.name)

    def check_unique(self, sobject: SObject, record: Record, changed: Mapping[str, Value]) -> None:
        """Raises DUPLICATE_VALUE when another living record holds one of the changed unique values."""
        table = self._store.table(sobject)
        for field in sobject.unique:
            if field.name not in changed or (value := record.get(field.name)) is None:
                continue
            for other in table.find_alive(field, value):
                if other != record["Id"]:
                    raise errors.duplicate_value(field.name, other)

    def check_required(self, sobject: SObject, record: Record) -> None:
        missing = [field.name for field in sobject.required if field.name not in record]
        if missing:
            raise errors.required_missing(missing)

    def _check_reference(self, field: Field, id18: str) -> None:
        target = self._schema.by_id(id18)
        if target is None or target.name not in field.reference_to:
            raise errors.wrong_id(field.name, field.label, id18)
        record = self._store.table(target).get(id18)
        if record is None:
            raise errors.invalid_reference()
        if record["IsDeleted"]:
            raise errors.deleted(400)


def _modified(actor: str, at: str) -> Record:
    return {"LastModifiedById": actor, "LastModifiedDate": at, "SystemModstamp": at}
