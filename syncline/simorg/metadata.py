"""The org's objects and fields, read from JSON files in the shape of Salesforce's describe.

A file holds one object; a key that is absent takes what Salesforce says for a field of that type, so that a reply of
`GET /sobjects/Account/describe` saved from a real org is a valid file, and so is one line per field. A file for an
object that is already known is an overlay: its fields are added, or replace keys of fields of the same name.
Keys and their meaning: "DescribeSObjectResult" in the SOAP API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from syncline.simorg.fieldtypes import defaults

Json = dict[str, Any]

STANDARD = Path(__file__).parent / "schema"
"""Account, Contact and User as a new org has them."""
DEMO = STANDARD / "demo"
"""An overlay: the external ids and custom fields of the demo."""

_AUDIT = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
_READ_ONLY = {"createable": False, "updateable": False, "nillable": False, "defaultedOnCreate": True}
_SYSTEM_FIRST: tuple[Json, ...] = (
    {"name": "Id", "label": "{label} ID", "type": "id", **_READ_ONLY},
    {"name": "IsDeleted", "label": "Deleted", "type": "boolean", **_READ_ONLY},
)
_SYSTEM_LAST: tuple[Json, ...] = (
    {"name": "CreatedDate", "label": "Created Date", "type": "datetime", **_READ_ONLY},
    {
        "name": "CreatedById",
        "label": "Created By ID",
        "type": "reference",
        "referenceTo": ["User"],
        "relationshipName": "CreatedBy",
        **_READ_ONLY,
    },
    {"name": "LastModifiedDate", "label": "Last Modified Date", "type": "datetime", **_READ_ONLY},
    {
        "name": "LastModifiedById",
        "label": "Last Modified By ID",
        "type": "reference",
        "referenceTo": ["User"],
        "relationshipName": "LastModifiedBy",
        **_READ_ONLY,
    },
    {"name": "SystemModstamp", "label": "System Modstamp", "type": "datetime", **_READ_ONLY},
)
_OBJECT_DEFAULTS: Json = {
    "activateable": False,
    "createable": True,
    "customSetting": False,
    "deletable": True,
    "deprecatedAndHidden": False,
    "feedEnabled": False,
    "layoutable": True,
    "mergeable": False,
    "mruEnabled": True,
    "queryable": True,
    "replicateable": True,
    "retrieveable": True,
    "searchable": True,
    "triggerable": True,
    "undeletable": True,
    "updateable": True,
}


class Field:
    """One field: its describe, and what the engine asks of it thousands of times a second."""

    __slots__ = (
        "case_sensitive",
        "compound",
        "createable",
        "custom",
        "default",
        "defaulted",
        "describe",
        "external_id",
        "filterable",
        "id_lookup",
        "is_text",
        "label",
        "length",
        "name",
        "nillable",
        "picklist",
        "precision",
        "reference_to",
        "relationship",
        "restricted",
        "scale",
        "sortable",
        "type",
        "unique",
        "updateable",
    )

    def __init__(self, describe: Json) -> None:
        self.describe = describe
        self.name: str = describe["name"]
        self.label: str = describe["label"]
        self.type: str = describe["type"]
        self.length: int = describe["length"]
        self.precision: int = describe["precision"]
        self.scale: int = describe["scale"]
        self.nillable: bool = describe["nillable"]
        self.createable: bool = describe["createable"]
        self.updateable: bool = describe["updateable"]
        self.defaulted: bool = describe["defaultedOnCreate"]
        self.default: Any = describe["defaultValue"]
        self.unique: bool = describe["unique"]
        self.case_sensitive: bool = describe["caseSensitive"]
        self.external_id: bool = describe["externalId"]
        self.id_lookup: bool = describe["idLookup"]
        self.filterable: bool = describe["filterable"]
        self.sortable: bool = describe["sortable"]
        self.reference_to: tuple[str, ...] = tuple(describe["referenceTo"])
        self.relationship: str | None = describe["relationshipName"]
        self.restricted: bool = describe["restrictedPicklist"]
        self.picklist: dict[str, str] = {
            entry["value"].lower(): entry["value"] for entry in describe["picklistValues"] if entry["active"]
        }
        self.compound: str | None = describe["compoundFieldName"]
        self.custom: bool = describe["custom"]
        self.is_text: bool = describe["soapType"] == "xsd:string"

    @property
    def indexed(self) -> bool:
        """Fields that Salesforce indexes by itself: a selective filter on them never scans."""
        return self.id_lookup or self.external_id or self.unique or self.type == "reference"

    def key(self, value: Any) -> Any:
        """What equal values share: text is compared without case unless the field says otherwise."""
        return value.lower() if self.is_text and not self.case_sensitive else value

    def __repr__(self) -> str:
        return f"Field({self.name})"


@dataclass(frozen=True, slots=True)
class Child:
    """A field of another object that points here, and what deleting the record here does to it."""

    sobject: SObject
    field: Field
    cascade: bool
    restricted: bool


class SObject:
    """One object; every lookup by name ignores case, as Salesforce does on input."""

    def __init__(self, source: Json) -> None:
        self.define(source)

    def define(self, source: Json) -> None:
        """Also of an object that there is: its records stay, and whoever holds it sees the change."""
        self.source = source
        self.name: str = source["name"]
        self.label: str = source.get("label") or self.name
        self.prefix: str = source["keyPrefix"]
        self.custom: bool = self.name.endswith("__c")
        self.properties = {key: source.get(key, default) for key, default in _OBJECT_DEFAULTS.items()}
        self.label_plural: str = source.get("labelPlural") or self.label + "s"
        self.declared_children: list[Json] = source.get("childRelationships", [])
        self.fields = tuple(Field(defaults(field)) for field in _with_system_fields(source["fields"], self.label))
        self._by_name = {field.name.lower(): field for field in self.fields}
        self._by_relationship = {f.relationship.lower(): f for f in self.fields if f.relationship}
        self.references = tuple(f for f in self.fields if f.type == "reference")
        self.unique = tuple(f for f in self.fields if f.unique)
        own = (self.name,)
        self.hierarchies = tuple(f for f in self.references if f.updateable and not f.custom and f.reference_to == own)
        """Standard lookups to the object itself: Account.ParentId, Contact.ReportsToId."""
        self.required = tuple(f for f in self.fields if f.createable and not f.nillable and not f.defaulted)
        """What a create must say; the rule of "API Field Properties" in the Object Reference."""
        self.defaults = {f.name: f.default for f in self.fields if f.default is not None}
        self.children: tuple[Child, ...] = ()
        self.components = {
            field.name: tuple(part for part in self.fields if part.compound == field.name and part is not field)
            for field in self.fields
            if any(part.compound == field.name and part is not field for part in self.fields)
        }

    def field(self, name: str) -> Field | None:
        return self._by_name.get(name.lower())

    def relationship(self, name: str) -> Field | None:
        """The lookup behind a relationship name: `Account` gives AccountId, `Parent__r` gives Parent__c."""
        return self._by_relationship.get(name.lower())

    def allows(self, right: str) -> bool:
        """`right` is a property of the describe: createable, updateable, deletable."""
        return bool(self.properties[right])

    def summary(self, base: str) -> Json:
        """The object's entry in describe global; `base` is `/services/data/vXX.X`."""
        url = f"{base}/sobjects/{self.name}"
        return {
            **self.properties,
            "custom": self.custom,
            "keyPrefix": self.prefix,
            "label": self.label,
            "labelPlural": self.label_plural,
            "name": self.name,
            "urls": {"rowTemplate": f"{url}/{{ID}}", "describe": f"{url}/describe", "sobject": url},
        }

    def describe(self, base: str) -> Json:
        declared = {(child["childSObject"], child["field"]) for child in self.declared_children}
        inferred: list[Json] = [
            {"childSObject": child.sobject.name, "field": child.field.name}
            for child in self.children
            if (child.sobject.name, child.field.name) not in declared
        ]
        child_defaults: Json = {
            "cascadeDelete": False,
            "deprecatedAndHidden": False,
            "junctionIdListNames": [],
            "junctionReferenceTo": [],
            "relationshipName": None,
            "restrictedDelete": False,
        }
        return {
            **self.summary(base),
            "actionOverrides": [],
            "childRelationships": [{**child_defaults, **child} for child in self.declared_children + inferred],
            "compactLayoutable": True,
            "fields": [field.describe for field in self.fields],
            "listviewable": None,
            "lookupLayoutable": None,
            "namedLayoutInfos": [],
            "networkScopeFieldName": None,
            "recordTypeInfos": [],
            "searchLayoutable": True,
            "supportedScopes": [{"label": f"All {self.label_plural}", "name": "everything"}],
        }


class Schema:
    """All objects of one org."""

    def __init__(self, sources: Iterable[Json]) -> None:
        named = {source["name"]: source for source in sources}
        _assign_prefixes(named)
        self._by_name = {name.lower(): SObject(source) for name, source in named.items()}
        self._by_prefix = {sobject.prefix: sobject for sobject in self}
        for sobject in self:
            sobject.children = tuple(_children(sobject, self))

    @classmethod
    def load(cls, folder: Path, *overlays: Path) -> Schema:
        """Reads every `*.json` of each folder in turn. Raises ValueError naming the file that cannot be used."""
        merged: dict[str, Json] = {}
        for source_folder in (folder, *overlays):
            for path in sorted(source_folder.glob("*.json")):
                try:
                    source: Json = orjson.loads(path.read_bytes())
                    name: str = source["name"]
                    merged[name] = _overlaid(merged[name], source) if name in merged else source
                    SObject({"keyPrefix": "", **merged[name]})  # fails here, where the file is known
                except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
                    raise ValueError(
                        f"{path}: not the describe of one object ({exc!r}); it needs 'name' and 'fields', each field "
                        "'name' and 'type'"
                    ) from exc
        if not merged:
            raise ValueError(f"{folder}: no *.json file of an object found")
        return cls(merged.values())

    @classmethod
    def standard(cls, *overlays: Path) -> Schema:
        """The shipped objects, with the given folders laid over them."""
        return cls.load(STANDARD, *overlays)

    def alter(self, name: str, change: Json, *, without: Collection[str] = ()) -> None:
        """As an administrator does while the org runs: `change` is laid over the object's describe like a folder's file
        (fields, or the user's rights such as `deletable`), the fields `without` are removed."""
        sobject = self._by_name[name.lower()]
        source = _overlaid(sobject.source, change)
        sobject.define({**source, "fields": [each for each in source["fields"] if each["name"] not in without]})
        for each in self:
            each.children = tuple(_children(each, self))

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._by_name.values())

    def sobject(self, name: str) -> SObject | None:
        return self._by_name.get(name.lower())

    def by_id(self, id18: str) -> SObject | None:
        return self._by_prefix.get(id18[:3])


def _overlaid(base: Json, overlay: Json) -> Json:
    fields = {field["name"]: field for field in base["fields"]}
    for field in overlay.get("fields", []):
        fields[field["name"]] = {**fields.get(field["name"], {}), **field}
    children = base.get("childRelationships", []) + overlay.get("childRelationships", [])
    return {**base, **overlay, "fields": list(fields.values()), "childRelationships": children}


def _with_system_fields(fields: list[Json], label: str) -> Iterator[Json]:
    """Every object has them, so a file need not list them."""
    listed = {field["name"] for field in fields}
    for field in _SYSTEM_FIRST:
        if field["name"] not in listed:
            yield {**field, "label": field["label"].format(label=label)}
    yield from (field for field in fields if field["name"] not in _AUDIT)
    own = {field["name"]: field for field in fields}
    yield from ({**field, **own.get(field["name"], {})} for field in _SYSTEM_LAST)


def _assign_prefixes(named: Mapping[str, Json]) -> None:
    """Custom objects get a00, a01, … where their file gives none, as an org hands them out."""
    taken = {source["keyPrefix"] for source in named.values() if source.get("keyPrefix")}
    free = (prefix for number in range(1000) if (prefix := f"a{number:02}") not in taken)
    for name, source in named.items():
        if not source.get("keyPrefix"):
            source["keyPrefix"] = next(free)
        elif sum(other.get("keyPrefix") == source["keyPrefix"] for other in named.values()) > 1:
            raise ValueError(f"{name}: another object has the key prefix {source['keyPrefix']} too")


def _children(parent: SObject, schema: Schema) -> Iterator[Child]:
    declared = {(child["childSObject"], child["field"]): child for child in parent.declared_children}
    for sobject in schema:
        for field in sobject.references:
            if parent.name in field.reference_to:
                child = declared.get((sobject.name, field.name), {})
                yield Child(sobject, field, child.get("cascadeDelete", False), child.get("restrictedDelete", False))
