"""What Salesforce's describe says of a field of each type where nothing else is stated.

From "Field Types" and "API Field Properties" in the Object Reference and "DescribeSObjectResult" in the SOAP API
Developer Guide.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "address": "urn:address",
    "location": "urn:location",
    "base64": "xsd:base64Binary",
    "anyType": "xsd:anyType",
}
_LENGTH = {"id": 18, "reference": 18, "email": 80, "phone": 40, "multipicklist": 4099}
_TEXT_LENGTH = 255
_UNFILTERABLE = {"address", "location", "base64", "encryptedstring", "anyType", "complexvalue"}
_UNSORTABLE = _UNFILTERABLE | {"multipicklist"}
_UNGROUPABLE = _UNSORTABLE | {"textarea", "double", "currency", "percent", "datetime", "time"}
_PRECISION = {"double": 18, "currency": 18, "percent": 18}

_COMMON: Json = {
    "aiPredictionField": False,
    "autoNumber": False,
    "calculated": False,
    "calculatedFormula": None,
    "cascadeDelete": False,
    "caseSensitive": False,
    "compoundFieldName": None,
    "controllerName": None,
    "defaultValue": None,
    "defaultValueFormula": None,
    "defaultedOnCreate": False,
    "dependentPicklist": False,
    "deprecatedAndHidden": False,
    "displayLocationInDecimal": False,
    "encrypted": False,
    "externalId": False,
    "extraTypeInfo": None,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "inlineHelpText": None,
    "mask": None,
    "maskType": None,
    "nameField": False,
    "namePointing": False,
    "nillable": True,
    "permissionable": True,
    "picklistValues": [],
    "polymorphicForeignKey": False,
    "queryByDistance": False,
    "referenceTargetField": None,
    "referenceTo": [],
    "relationshipName": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "restrictedPicklist": False,
    "scale": 0,
    "searchPrefilterable": False,
    "unique": False,
    "writeRequiresMasterRead": False,
}


def defaults(field: Json) -> Json:
    """The whole describe of a field from the keys that a file states. Raises KeyError without `name` or `type`."""
    name, kind = field["name"], field["type"]
    soap = _SOAP.get(kind, "xsd:string")
    length = field.get("length", _LENGTH.get(kind, _TEXT_LENGTH if soap == "xsd:string" else 0))
    long_text = kind == "textarea" and length > _TEXT_LENGTH
    compound = kind in {"address", "location"}
    writable = not (compound or field.get("calculated") or field.get("autoNumber"))
    typed: Json = {
        "aggregatable": not (long_text or kind in _UNFILTERABLE or kind == "boolean"),
        "byteLength": length if kind in {"id", "reference"} else length * 3,
        "createable": writable,
        "custom": name.endswith("__c"),
        "defaultedOnCreate": kind == "boolean" or bool(field.get("autoNumber")),
        "digits": 8 if kind == "int" else 0,
        "filterable": not (long_text or kind in _UNFILTERABLE),
        "groupable": kind not in _UNGROUPABLE or (kind == "textarea" and not long_text),
        "idLookup": kind == "id" or bool(field.get("externalId")),
        "label": name,
        "length": length,
        "nillable": kind != "boolean",
        "precision": _PRECISION.get(kind, 0),
        "soapType": soap,
        "sortable": not (long_text or kind in _UNSORTABLE),
        "updateable": writable,
    }
    if kind == "boolean":
        typed["defaultValue"] = False
    whole = {**_COMMON, **typed, **field}
    whole["picklistValues"] = [_picklist_value(entry) for entry in whole["picklistValues"]]
    return dict(sorted(whole.items()))


def _picklist_value(entry: str | Json) -> Json:
    """A file may list plain values; a real describe lists objects."""
    stated = {"value": entry, "label": entry} if isinstance(entry, str) else entry
    return {"active": True, "defaultValue": False, "validFor": None, **stated}
