"""Reading records: by id, by external id, and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.simorg import errors
from syncline.simorg.compound import compound, is_compound
from syncline.simorg.ids import canonical
from syncline.simorg.metadata import Field, SObject
from syncline.simorg.store import Record


def selection(sobject: SObject, names: Sequence[str]) -> Sequence[Field]:
    """The named fields, and Id which always comes along; every field when none is named."""
    if not names:
        return sobject.fields
    fields: dict[str, Field] = {}
    for name in names:
        field = sobject.field(name.strip())
        if field is None:
            raise errors.no_such_column(name.strip(), sobject.name)
        fields[field.name] = field
    identity = sobject.field("Id")
    assert identity is not None
    return list({**fields, "Id": identity}.values())


def attributes(sobject: SObject, record: Record, base: str) -> dict[str, str]:
    """`base` is `/services/data/vXX.X`."""
    return {"type": sobject.name, "url": f"{base}/sobjects/{sobject.name}/{record['Id']}"}


def read_record(sobject: SObject, record: Record, fields: Sequence[Field], base: str) -> dict[str, Any]:
    """As the API sends it: empty fields as null, compound fields put together."""
    row: dict[str, Any] = {"attributes": attributes(sobject, record, base)}
    for field in fields:
        row[field.name] = compound(sobject, field, record) if is_compound(field) else record.get(field.name)
    return row


def record_id(text: str) -> str:
    """The id in an address. What is no id is taken for the name of an external ID field, as Salesforce does."""
    id18 = canonical(text)
    if id18 is None:
        raise errors.unknown_key_field(text)
    return id18
