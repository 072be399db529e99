"""A fast way in for whole tables: seeding a demo or a test.

Loaded rows are checked as the API checks them, but may also set what it refuses: Id, audit fields, read-only fields,
and `deleted`. A row may refer to any other row of the same load; a parent named by external id must come before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from syncline.simorg import errors
from syncline.simorg.compound import full_name, is_compound
from syncline.simorg.dml import Dml
from syncline.simorg.drafts import read_draft, sobject_named
from syncline.simorg.metadata import Schema, SObject
from syncline.simorg.store import Record, Store
from syncline.simorg.values import check

Rows = Mapping[str, Iterable[Mapping[str, Any]]]
"""Rows by object."""


class Loader:
    def __init__(self, schema: Schema, store: Store, dml: Dml) -> None:
        self._schema = schema
        self._store = store
        self._dml = dml

    def load(self, rows: Rows, *, actor: str, at: str) -> dict[str, list[str]]:
        """Ids by object, in the order of the rows; a row with the Id of a record replaces it.

        All or nothing: raises SalesforceError for the first bad row. Audit fields that a row does not give are `at`.
        """
        loaded: dict[SObject, list[str]] = {}
        with self._store.transaction():
            for name, given in rows.items():
                sobject = sobject_named(self._schema, name)
                records = [self._record(sobject, row, actor, at) for row in given]
                self._store.table(sobject).put_many(records)
                loaded[sobject] = [str(record["Id"]) for record in records]
            for sobject, ids in loaded.items():
                self._check(sobject, ids)
        return {sobject.name: ids for sobject, ids in loaded.items()}

    def _record(self, sobject: SObject, row: Mapping[str, Any], actor: str, at: str) -> Record:
        draft = read_draft(self._schema, sobject, {name: row[name] for name in row if name != "deleted"})
        given: Record = {}
        for field, value in draft.values.items():
            if is_compound(field):
                raise errors.not_writable([field.name])
            if (stored := check(field, value)) is not None:
                given[field.name] = stored
        for parent in draft.parents:
            given[parent.lookup.name] = self._dml.parent_id(parent)
        stamp = str(given.get("SystemModstamp") or given.get("LastModifiedDate") or at)
        record = {
            **self._dml.defaults(sobject, actor, at),
            "CreatedDate": min(stamp, at),
            "LastModifiedDate": stamp,
            "SystemModstamp": stamp,
            **given,
            "IsDeleted": bool(row.get("deleted")),
        }
        if "Id" not in given:
            record["Id"] = self._dml.new_id(sobject)
        elif self._schema.by_id(str(given["Id"])) is not sobject:
            raise errors.wrong_id("Id", f"{sobject.label} ID", str(given["Id"]))
        if "Name" in sobject.components:
            record["Name"] = full_name(record)
        return record

    def _check(self, sobject: SObject, ids: list[str]) -> None:
        """What can only be told once every row is in."""
        table = self._store.table(sobject)
        if len(set(ids)) < len(ids):
            twice = next(id18 for at, id18 in enumerate(ids) if id18 in ids[:at])
            raise errors.duplicate_value("Id", twice)
        for id18 in ids:
            record = table.get(id18) or {}
            self._dml.check_required(sobject, record)
            if not record["IsDeleted"]:
                self._dml.check_unique(sobject, record, record)
                self._dml.check_references(sobject, record)
                self._dml.check_cycles(sobject, id18, record)
