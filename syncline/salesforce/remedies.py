"""What each of Salesforce's error codes asks for: the reaction, and what a person can do.

Codes: "Status Codes and Error Responses" in the REST API Developer Guide, "Core Data Types Used in API Calls"
(ExceptionCode, StatusCode) in the SOAP API Developer Guide. A code that is not listed is judged by HTTP status, and
without one (a row of a collection) as a rejected record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from syncline.contracts.errors import (
    DuplicateDetected,
    Fatal,
    RecordRejected,
    SessionExpired,
    SynclineError,
    Throttled,
    Transient,
)
from syncline.salesforce.errors import LocatorExpired, OutcomeUnknown


class Remedy(NamedTuple):
    reaction: type[SynclineError]
    advice: str


_PERMISSION = (
    "Give the integration user's permission set read and edit access to the object, its fields and the record."
)
_REPAIR = "Correct the value at its source, or map it with a transform, then retry the dead letter."

CODES: Mapping[str, Remedy] = {
    # The work was undone or not begun, and may succeed later.
    "UNABLE_TO_LOCK_ROW": Remedy(Transient, "Another process holds the record or its parent; repeat the write."),
    "API_CURRENTLY_DISABLED": Remedy(Transient, "Salesforce has switched its API off for a while; wait."),
    "REQUEST_LIMIT_EXCEEDED": Remedy(
        Throttled, "The org's API quota is used up: lower the share that Syncline may use, or buy more calls."
    ),
    # The work may have been done.
    "SERVER_UNAVAILABLE": Remedy(OutcomeUnknown, "Salesforce is overloaded or in maintenance; see its status page."),
    "QUERY_TIMEOUT": Remedy(OutcomeUnknown, "Filter by an indexed field, or ask for fewer rows."),
    "REQUEST_RUNNING_TOO_LONG": Remedy(OutcomeUnknown, "Send fewer rows a call, or look for slow triggers."),
    # The session.
    "INVALID_SESSION_ID": Remedy(SessionExpired, "Log in again."),
    "INVALID_QUERY_LOCATOR": Remedy(LocatorExpired, "Run the query again from the last record that was kept."),
    # The configuration.
    "INVALID_AUTH_HEADER": Remedy(Fatal, "Check that no proxy rewrites the Authorization header."),
    "API_DISABLED_FOR_ORG": Remedy(Fatal, "Give the integration user 'API Enabled'; check the org's edition."),
    "ORG_LOCKED": Remedy(Fatal, "Salesforce has locked the org; ask their support."),
    "PASSWORD_LOCKOUT": Remedy(Fatal, "Unlock the integration user."),
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": Remedy(Fatal, "Give the integration user a password without expiry."),
    "UNSUPPORTED_API_VERSION": Remedy(Fatal, "Set a higher api_version, or none to use the newest."),
    "INVALID_TYPE": Remedy(Fatal, "Check the object's API name and the integration user's access to it."),
    "MALFORMED_QUERY": Remedy(Fatal, "Check the filters and names that the pipelines add to queries."),
    "QUERY_TOO_COMPLICATED": Remedy(Fatal, "Read fewer formula fields in one pipeline."),
    "METHOD_NOT_ALLOWED": Remedy(Fatal, "The object does not support this operation over the API."),
    "FUNCTIONALITY_NOT_ENABLED": Remedy(Fatal, "Enable the feature in the org, or do not map what needs it."),
    # One record.
    "DUPLICATES_DETECTED": Remedy(
        DuplicateDetected, "Merge or link the records it resembles, or let the duplicate rule allow saving by the API."
    ),
    "DUPLICATE_VALUE": Remedy(RecordRejected, "Another record holds this unique value: link to it or correct one."),
    "DUPLICATE_EXTERNAL_ID": Remedy(
        RecordRejected, "Several records hold this external ID: make the field unique and merge them."
    ),
    "REQUIRED_FIELD_MISSING": Remedy(RecordRejected, "Map the field, or give it a static value."),
    "INVALID_FIELD": Remedy(
        RecordRejected, "Check the field's API name and visibility, and that a parent named by external ID exists."
    ),
    "INVALID_FIELD_FOR_INSERT_UPDATE": Remedy(
        RecordRejected, "The field is read-only for the integration user: grant edit access or remove the mapping."
    ),
    "STRING_TOO_LONG": Remedy(RecordRejected, "Shorten the value with a transform, or lengthen the field."),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Remedy(
        RecordRejected, "Add the value to the picklist, or map it to one that exists."
    ),
    "INVALID_EMAIL_ADDRESS": Remedy(RecordRejected, _REPAIR),
    "NUMBER_OUTSIDE_VALID_RANGE": Remedy(RecordRejected, _REPAIR),
    "JSON_PARSER_ERROR": Remedy(RecordRejected, "The value has the wrong type for its field: map it with a transform."),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Remedy(
        RecordRejected, "A validation rule of the org refused it: correct the record, or exempt the integration user."
    ),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Remedy(
        RecordRejected, "A trigger or flow of the org refused it; its message says which."
    ),
    "FIELD_INTEGRITY_EXCEPTION": Remedy(RecordRejected, "A lookup points to the wrong kind of record: check its key."),
    "CIRCULAR_DEPENDENCY": Remedy(RecordRejected, "The parents form a circle: correct one of them."),
    "MALFORMED_ID": Remedy(RecordRejected, "This is no id of that object: check the mapping of the lookup."),
    "INVALID_CROSS_REFERENCE_KEY": Remedy(
        RecordRejected, "The record that it points to is gone or invisible: restore or share it, or unlink."
    ),
    "ENTITY_IS_DELETED": Remedy(RecordRejected, "The record is in the recycle bin: undelete it, or unlink."),
    "NOT_FOUND": Remedy(RecordRejected, "The record, object or external-ID field is gone or invisible to the user."),
    "INSUFFICIENT_ACCESS_OR_READONLY": Remedy(RecordRejected, _PERMISSION),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Remedy(RecordRejected, _PERMISSION),
    "STORAGE_LIMIT_EXCEEDED": Remedy(RecordRejected, "The org's data storage is full: free or buy some, then retry."),
    "INVALID_REPLICATION_DATE": Remedy(
        RecordRejected, "Salesforce no longer lists changes that old: read the object itself instead."
    ),
    "EXCEEDED_ID_LIMIT": Remedy(RecordRejected, "Ask for a shorter stretch of time, or for fewer rows."),
}

STATUSES: Mapping[int, Remedy] = {
    401: Remedy(Fatal, "Check the connected app and the integration user."),
    403: Remedy(Fatal, _PERMISSION),
    405: CODES["METHOD_NOT_ALLOWED"],
    408: Remedy(OutcomeUnknown, "Wait."),
    409: Remedy(Fatal, "The call does not fit the API version: leave api_version unset."),
    410: CODES["UNSUPPORTED_API_VERSION"],
    412: Remedy(RecordRejected, "The record was changed meanwhile: read it again."),
    414: Remedy(Fatal, "Split the list of values into several statements."),
    415: Remedy(Fatal, "Check that no proxy rewrites the Content-Type header."),
    420: Remedy(Transient, "Salesforce's edge does not know the org yet; wait."),
    429: Remedy(Throttled, "Lower the number of concurrent calls."),
    431: Remedy(Fatal, "Check that no proxy adds headers."),
}

INCURABLE = (
    "This session is not valid for use with the REST API",
    "Connected app is not attached to Agent",
)
"""Messages of INVALID_SESSION_ID that a new token would only meet again."""


def remedy(code: str, status: int | None, message: str) -> Remedy:
    """status: of the HTTP reply; None for one row of a collection."""
    if code == "INVALID_SESSION_ID" and any(text in message for text in INCURABLE):
        return Remedy(Fatal, "Give the connected app the scope 'api' and the user 'API Enabled'.")
    if known := CODES.get(code):
        return known
    if status is None:
        return Remedy(RecordRejected, _REPAIR)
    if status >= 500:
        return Remedy(OutcomeUnknown, "Wait; see Salesforce's status page.")
    if 300 <= status < 400:
        return Remedy(Fatal, "The address has moved: set login_url to the org's My Domain.")
    return STATUSES.get(status, Remedy(RecordRejected, _REPAIR))
