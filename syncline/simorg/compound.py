"""Compound fields: what Salesforce puts together from others and never takes.

A person's Name is stored, so that it can be filtered and sorted; addresses and locations are put together when read.
Rules: "Compound Fields" in the Object Reference.
"""

from __future__ import annotations

from syncline.simorg.metadata import Field, SObject
from syncline.simorg.store import Record
from syncline.simorg.values import Value

_ADDRESS = ("city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street")


def full_name(record: Record) -> str:
    """FirstName and LastName; the salutation is no part of it."""
    return " ".join(str(part) for name in ("FirstName", "LastName") if (part := record.get(name)) is not None)


def is_compound(field: Field) -> bool:
    return field.type in {"address", "location"}


def compound(sobject: SObject, field: Field, record: Record) -> dict[str, Value] | None:
    """The parts under their JSON names; None when every one is empty."""
    parts = {_part_name(field, part): record.get(part.name) for part in sobject.components.get(field.name, ())}
    if all(value is None for value in parts.values()):
        return None
    return {**dict.fromkeys(_ADDRESS), **parts} if field.type == "address" else parts


def _part_name(field: Field, part: Field) -> str:
    """BillingStreet of BillingAddress gives `street`, Spot__Latitude__s of Spot__c gives `latitude`."""
    stem = field.name[:-1] if field.name.endswith("__c") else field.name.removesuffix("Address")
    name = part.name.removeprefix(stem).removesuffix("__s")
    return name[:1].lower() + name[1:]
