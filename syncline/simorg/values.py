"""Values of one field: from JSON (`decode`), then to what is stored (`check`).

The two steps fail differently, as in Salesforce: JSON of the wrong kind fails the whole request while it is being
read, a value that its field refuses fails its own row. Stored values are str, int, float, bool; None means empty.
Dates and datetimes are stored as text, see `times`.
Rules: "Field Types" in the Object Reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from syncline.simorg import errors
from syncline.simorg.ids import canonical
from syncline.simorg.metadata import Field
from syncline.simorg.times import parse_date, parse_datetime, stamp

Value = str | int | float | bool | None
Decode = Callable[[object], Value]
Check = Callable[[Field, Value], Value]

_BLANKS = " \t\n\r\f\v"
"""What Salesforce trims; a no-break space survives."""
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_INTEGER = re.compile(r"[+-]?\d+")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_INT_RANGE = range(-(2**31), 2**31)


def decode(field: Field, value: object) -> Value:
    """Raises RequestError when the JSON value cannot be of the field's type."""
    return _DECODERS.get(field.type, _decode_text)(value)


def check(field: Field, value: Value) -> Value:
    """The value as stored. Raises SalesforceError when the field refuses it."""
    return None if value is None else _CHECKS.get(field.type, _check_text)(field, value)


def _decode_text(value: object) -> Value:
    if value is None or isinstance(value, str):
        return value
    raise errors.unreadable_value("string", value)


def _decode_boolean(value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise errors.unreadable_value("boolean", value)


def _decode_int(value: object) -> Value:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise errors.unreadable_value("int", value)


def _decode_double(value: object) -> Value:
    if value is None:
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise errors.unreadable_value("double", value)


def _decode_date(value: object) -> Value:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_date(value).isoformat()
        except ValueError:
            pass
    raise errors.unreadable_value("date", value)


def _decode_datetime(value: object) -> Value:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return stamp(parse_datetime(value))
        except ValueError:
            pass
    raise errors.unreadable_value("datetime", value)


def _decode_compound(value: object) -> Value:
    """Compound fields take nothing; they are refused as not writable once the row is looked at."""
    return None


def _check_text(field: Field, value: Value) -> Value:
    text = str(value).strip(_BLANKS)
    if len(text) > field.length:
        raise errors.too_long(field.name, field.label, text, field.length)
    return text or None


def _check_email(field: Field, value: Value) -> Value:
    text = _check_text(field, value)
    if text is not None and not _EMAIL.fullmatch(str(text)):
        raise errors.bad_email(field.name, field.label, str(text))
    return text


def _check_picklist(field: Field, value: Value) -> Value:
    """A listed value is stored in its listed case; any other stays as it is, unless the picklist is restricted."""
    text = _check_text(field, value)
    if text is None:
        return None
    listed = field.picklist.get(str(text).lower())
    if listed is None and field.restricted:
        raise errors.bad_picklist_value(field.name, field.label, str(text))
    return text if listed is None else listed


def _check_multipicklist(field: Field, value: Value) -> Value:
    chosen = [_check_picklist(field, part) for part in str(value).split(";")]
    return _check_text(field, ";".join(dict.fromkeys(str(part) for part in chosen if part is not None)))


def _check_reference(field: Field, value: Value) -> Value:
    """Only the shape of the id; whether it names a record of the right object is the store's business."""
    text = str(value).strip(_BLANKS)
    if not text:
        return None
    id18 = canonical(text)
    if id18 is None:
        raise errors.wrong_id(field.name, field.label, text)
    return id18


def _check_int(field: Field, value: Value) -> Value:
    if value not in _INT_RANGE:
        raise errors.number_out_of_range(field.name, field.label, value)
    return value


def _check_double(field: Field, value: Value) -> Value:
    number = round(float(value or 0), field.scale)
    whole_digits = field.precision - field.scale
    if not abs(number) < 10**whole_digits:
        raise errors.number_out_of_range(field.name, field.label, value)
    return number


def _check_as_it_is(field: Field, value: Value) -> Value:
    return value


_DECODERS: dict[str, Decode] = {
    "boolean": _decode_boolean,
    "int": _decode_int,
    "double": _decode_double,
    "currency": _decode_double,
    "percent": _decode_double,
    "date": _decode_date,
    "datetime": _decode_datetime,
    "address": _decode_compound,
    "location": _decode_compound,
}
_CHECKS: dict[str, Check] = {
    "email": _check_email,
    "picklist": _check_picklist,
    "multipicklist": _check_multipicklist,
    "reference": _check_reference,
    "id": _check_reference,
    "boolean": _check_as_it_is,
    "int": _check_int,
    "double": _check_double,
    "currency": _check_double,
    "percent": _check_double,
    "date": _check_as_it_is,
    "datetime": _check_as_it_is,
}
