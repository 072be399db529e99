"""One record of a request's body, read against the schema but not yet against the records.

What is refused here cannot be read at all, so it fails the whole request: a column that does not exist, a JSON value of
the wrong kind. Rules: "Insert or Update (Upsert) a Record Using an External ID" in the REST API Developer Guide for
parents by external id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncline.simorg import errors
from syncline.simorg.metadata import Field, Schema, SObject
from syncline.simorg.values import Value, check, decode


@dataclass(frozen=True, slots=True)
class ParentKey:
    """`{"Account": {"Ext__c": "x"}}`: the lookup to fill, and the external id that names its target."""

    lookup: Field
    target: SObject
    key: Field
    value: Value


@dataclass(frozen=True, slots=True)
class Draft:
    """Values as they came: None clears, an absent field is left alone."""

    sobject: SObject
    values: Mapping[Field, Value]
    parents: tuple[ParentKey, ...] = ()


def sobject_named(schema: Schema, name: str) -> SObject:
    """For a name in an address: an unknown one is a missing resource."""
    sobject = schema.sobject(name)
    if sobject is None:
        raise errors.not_found()
    return sobject


def key_field(sobject: SObject, name: str) -> Field:
    """A field that may name a record in an address: an external id, or one with idLookup."""
    field = sobject.field(name)
    if field is None or not (field.external_id or field.id_lookup):
        raise errors.unknown_key_field(name)
    return field


def key_value(field: Field, value: object) -> Value:
    """The stored form of an external id that came in an address or as a row's key."""
    return check(field, decode(field, value))


def read_draft(schema: Schema, sobject: SObject, body: object, *, without: str | None = None) -> Draft:
    """`without` names a field that must not be repeated in the body, because the address holds it."""
    if not isinstance(body, dict):
        raise errors.unreadable_body("Cannot deserialize the record: a JSON object is expected")
    values: dict[Field, Value] = {}
    parents: list[ParentKey] = []
    for name, value in body.items():
        if name == "attributes":
            continue
        field = sobject.field(name)
        if field is not None:
            if without is not None and field.name == without:
                raise errors.unexpected_key(without)
            values[field] = decode(field, value)
        elif (lookup := sobject.relationship(name)) is not None:
            parents.append(_read_parent(schema, sobject, lookup, name, value))
        else:
            raise errors.no_such_column(name, sobject.name)
    for parent in parents:
        if parent.lookup in values:
            raise errors.named_twice(parent.lookup.name, str(parent.lookup.relationship))
    return Draft(sobject, values, tuple(parents))


def _read_parent(schema: Schema, sobject: SObject, lookup: Field, name: str, value: object) -> ParentKey:
    if not isinstance(value, dict):
        raise errors.unreadable_value(lookup.reference_to[0], value)
    keys = [(key, found) for key, found in value.items() if key != "attributes"]
    target = schema.sobject(lookup.reference_to[0])
    if target is None:
        raise errors.no_such_column(name, sobject.name)
    if len(keys) != 1:
        raise errors.unreadable_body(
            f"The relationship {name} must name its {target.name} by exactly one external ID field"
        )
    (key_name, key), *_ = keys
    key_of = target.field(key_name)
    if key_of is None:
        raise errors.no_such_column(key_name, target.name)
    if not (key_of.external_id or key_of.id_lookup):
        raise errors.RequestError(
            400, "INVALID_FIELD", f"{key_of.name} is not an External ID or indexed field for {target.name}"
        )
    return ParentKey(lookup, target, key_of, decode(key_of, key))
