"""Salesforce's own errors, with its codes, texts and statuses.

`SalesforceError` is what one record or one request is refused with. `RequestError` is found while the body is being
read, before any record is touched, and so fails a whole collection. Texts and statuses: "Status Codes and Error
Responses" in the REST API Developer Guide, "Core Data Types" (StatusCode) in the SOAP API Developer Guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class SalesforceError(Exception):
    """One refusal. `fields` is None where Salesforce sends no `fields` key at all."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = None if fields is None else list(fields)

    def body(self) -> list[dict[str, Any]]:
        """The reply of a single call: an array of one."""
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = self.fields
        return [error]

    def row(self) -> dict[str, Any]:
        """The same inside a collection's row, where the code is called `statusCode`."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


class RequestError(SalesforceError):
    """The request cannot be read: nothing of it was done."""


class SeveralMatches(SalesforceError):
    """The key of an upsert names several records; a single call answers 300 and their addresses."""

    def __init__(self, field: str, ids: Sequence[str]) -> None:
        super().__init__(300, "DUPLICATE_EXTERNAL_ID", _more_than_one(field, ids), [])
        self.ids = tuple(ids)


def several_parents(field: str, ids: Sequence[str]) -> SalesforceError:
    return SalesforceError(400, "DUPLICATE_EXTERNAL_ID", _more_than_one(field, ids), [])


def _more_than_one(field: str, ids: Sequence[str]) -> str:
    return f"{field}: more than one record found for external id field: [{', '.join(ids)}]"


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    return SalesforceError(404, "NOT_FOUND", message)


def unknown_key_field(name: str) -> SalesforceError:
    return not_found(f"Provided external ID field does not exist or is not accessible: {name}")


def session_expired() -> SalesforceError:
    return SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def limit_exceeded(which: str) -> SalesforceError:
    return SalesforceError(403, "REQUEST_LIMIT_EXCEEDED", f"{which} Limit exceeded.")


def no_such_column(name: str, sobject: str) -> RequestError:
    return RequestError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")


def unreadable_value(wanted: str, value: object) -> RequestError:
    """A JSON value of the wrong kind; the token names are Jackson's, as Salesforce shows them."""
    match value:
        case None:
            seen = "VALUE_NULL value null"
        case bool():
            seen = f"VALUE_{str(value).upper()} value {str(value).lower()}"
        case int():
            seen = f"VALUE_NUMBER_INT value {value}"
        case float():
            seen = f"VALUE_NUMBER_FLOAT value {value}"
        case str():
            seen = f"VALUE_STRING value {value}"
        case list():
            seen = "START_ARRAY value ["
        case _:
            seen = "START_OBJECT value {"
    return RequestError(
        400,
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {wanted} from {seen} or request may be missing a required field",
    )


def unreadable_body(reason: str) -> RequestError:
    return RequestError(400, "JSON_PARSER_ERROR", reason)


def unexpected_key(name: str) -> RequestError:
    """`Id` in a create, or the key field repeated in the body of an upsert by it."""
    return RequestError(400, "INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")


def named_twice(lookup: str, relationship: str) -> RequestError:
    """A parent given both by id and by external id."""
    return RequestError(400, "INVALID_FIELD", f"{lookup} and {relationship} cannot both be specified")


def not_writable(names: Sequence[str]) -> SalesforceError:
    return SalesforceError(
        400,
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        f"Unable to create/update fields: {', '.join(names)}. Please check the security settings of this field and "
        "verify that it is read/write for your profile or permission set.",
        names,
    )


def required_missing(names: Sequence[str]) -> SalesforceError:
    return SalesforceError(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", names)


def too_long(field: str, label: str, value: str, length: int) -> SalesforceError:
    return SalesforceError(
        400, "STRING_TOO_LONG", f"{label}: data value too large: {value} (max length={length})", [field]
    )


def number_out_of_range(field: str, label: str, value: object) -> SalesforceError:
    return SalesforceError(
        400, "NUMBER_OUTSIDE_VALID_RANGE", f"{label}: value outside of valid range on numeric field: {value}", [field]
    )


def bad_picklist_value(field: str, label: str, value: str) -> SalesforceError:
    return SalesforceError(
        400,
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        f"{label}: bad value for restricted picklist field: {value}",
        [field],
    )


def bad_email(field: str, label: str, value: str) -> SalesforceError:
    return SalesforceError(400, "INVALID_EMAIL_ADDRESS", f"{label}: invalid email address: {value}", [field])


def wrong_id(field: str, label: str, value: str) -> SalesforceError:
    """Both for text that is no id and for the id of another object."""
    return SalesforceError(400, "MALFORMED_ID", f"{label}: id value of incorrect type: {value}", [field])


def malformed_id(value: str) -> SalesforceError:
    return SalesforceError(400, "MALFORMED_ID", f"malformed id {value}")


def invalid_reference(status: int = 400) -> SalesforceError:
    return SalesforceError(status, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])


def deleted(status: int = 404) -> SalesforceError:
    return SalesforceError(status, "ENTITY_IS_DELETED", "entity is deleted", [])


def missing_parent(value: object, field: str, sobject: str) -> SalesforceError:
    return SalesforceError(
        400,
        "INVALID_FIELD",
        f"Foreign key external ID: {str(value).lower()} not found for field {field} in entity {sobject}",
        [],
    )


def duplicate_value(field: str, id18: str) -> SalesforceError:
    return SalesforceError(
        400, "DUPLICATE_VALUE", f"duplicate value found: {field} duplicates value on record with id: {id18[:15]}", []
    )


def parent_cycle() -> SalesforceError:
    return SalesforceError(400, "CIRCULAR_DEPENDENCY", "attempt to violate hierarchy constraints", [])


def read_only_object(action: str, label: str) -> SalesforceError:
    """`action` is inserted or updated."""
    return SalesforceError(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be {action}: {label}", [])


def insufficient_access() -> SalesforceError:
    return SalesforceError(400, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])


def delete_restricted(name: str, children: str) -> SalesforceError:
    return SalesforceError(
        400,
        "DELETE_FAILED",
        f"Your attempt to delete {name} could not be completed because it is associated with {children}.",
        [],
    )


def locked(status: int, ids: Iterable[str]) -> SalesforceError:
    names = list(ids)
    return SalesforceError(
        status,
        "UNABLE_TO_LOCK_ROW",
        f"unable to obtain exclusive access to this record or {len(names)} records: {','.join(names)}",
        [],
    )


def rolled_back() -> SalesforceError:
    return SalesforceError(
        400,
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
        [],
    )


def missing_argument(message: str) -> SalesforceError:
    return SalesforceError(400, "MISSING_ARGUMENT", message, [])


def too_many_records(limit: int) -> RequestError:
    return RequestError(
        400, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {limit} records into this call"
    )
