"""Short words for the tests of the simulated org."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncline.simorg import Org
from syncline.simorg.drafts import key_field, key_value, read_draft, sobject_named
from syncline.simorg.errors import SalesforceError
from syncline.simorg.store import Record

BASE = "/services/data/v67.0"


class Clock:
    """Time that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 10, 0, 0, 700_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


def create(org: Org, object_name: str, **values: Any) -> str:
    sobject = sobject_named(org.schema, object_name)
    draft = read_draft(org.schema, sobject, values, without="Id")
    return org.dml.create(draft, org.change(org.user_id)).id


def update(org: Org, object_name: str, id18: str, **values: Any) -> None:
    sobject = sobject_named(org.schema, object_name)
    org.dml.update(sobject, id18, read_draft(org.schema, sobject, values, without="Id"), org.change(org.user_id))


def upsert(org: Org, object_name: str, key_name: str, key: str, **values: Any) -> tuple[str, bool]:
    """Id, and whether it was created."""
    sobject = sobject_named(org.schema, object_name)
    field = key_field(sobject, key_name)
    draft = read_draft(org.schema, sobject, values, without=field.name)
    saved = org.dml.upsert(field, key_value(field, key), draft, org.change(org.user_id))
    return saved.id, saved.action == "created"


def delete(org: Org, object_name: str, id18: str) -> None:
    org.dml.delete(sobject_named(org.schema, object_name), id18, org.change(org.user_id))


def stored(org: Org, object_name: str, id18: str) -> Record:
    record = org.store.table(object_name).get(id18)
    assert record is not None
    return record


def select(org: Org, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
    """Rows without their `attributes`, parents included."""
    answer = org.query(soql, include_deleted=include_deleted)
    assert answer.render is not None
    return [_bare(answer.render(row, BASE)) for row in answer.rows]


def names(org: Org, soql: str, *, include_deleted: bool = False) -> list[Any]:
    """The first selected field of each row."""
    return [next(iter(row.values())) for row in select(org, soql, include_deleted=include_deleted)]


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _bare(value) if isinstance(value, dict) and "attributes" in value else value
        for name, value in row.items()
        if name != "attributes"
    }


@contextmanager
def refused(code: str, message: str = "", *, status: int = 400, fields: list[str] | None = None) -> Iterator[None]:
    """The block is refused with that code and status, a message that holds the text, and those fields if given."""
    with pytest.raises(SalesforceError) as caught:
        yield
    error = caught.value
    assert (error.status, error.code) == (status, code), error
    assert message in error.message
    if fields is not None:
        assert error.fields == fields
