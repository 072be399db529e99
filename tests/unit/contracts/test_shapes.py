"""A message of the usual shape is decoded at once, any other piece by piece: both must tell the same of it."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from syncline.contracts import change, command, result
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Fields, Object, Ref
from syncline.contracts.result import Result

CONTACT, COMPANY = Ref("sf", "Contact", "c/1"), Ref("hub", "company", "7")
FIELDS: Fields = {"Name": "Ünal", "Size": 7, "Rate": 0.5, "Active": True, "Fax": None}
CASES: list[tuple[ModuleType, Any]] = [
    (change, Change(ref=CONTACT, instance="i", op="update", version="1", time="t", fields=FIELDS)),
    (
        command,
        Command(
            pipeline="p",
            op="upsert",
            source=CONTACT,
            version="1",
            time="t",
            target=Object("hub", "customer"),
            fields=FIELDS,
            seen=FIELDS,
            inputs={"name": ["Name"]},
            match=[{"email": "a@b"}],
            conflict={"*": "hub"},
        ),
    ),
    (result, Result(pipeline="p", outcome="written", source=CONTACT, target=COMPANY, version="1", written=("a",))),
]

ODD: list[Any] = [
    *(None, True, 0, -1, 2**63 - 1, 2**63, 2**64 - 1, 1.0, 1e300, "", "1.0", "\0", '\\u0000"', "é\n"),
    *("a/b", "a/b/c", "//s/i/o", "delete", "unlink", "skipped", "syncline.change.v1"),
    *([], ["a"], [None], {}, {"a": "b"}, {"a": None}, {"a": ["b"]}, {"a": "\0"}, {"a": {"b": 1}}, [{"a": 2**63}]),
]


Path = tuple[Any, ...]


def places(document: Any, path: Path = ()) -> list[Path]:
    """Every attribute, however deep."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [each for key, value in pairs for each in ((*path, key), *places(value, (*path, key)))]


def told(kind: Any, raw: bytes) -> bytes | str:
    try:
        decoded = kind.decode(raw)
        return bytes(decoded.encode())
    except Malformed as error:
        return str(error)


@pytest.mark.parametrize(("module", "message"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_the_usual_shape_is_read_at_once(module: ModuleType, message: Any) -> None:
    assert module._read(message.encode()) is not None
    assert type(message).decode(message.encode()) == message


@pytest.mark.parametrize(("module", "message"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_the_quick_way_tells_what_the_closer_look_tells(module: ModuleType, message: Any) -> None:
    """Whatever stands in the place of any attribute, and with any of them left out."""
    document = orjson.loads(message.encode())
    for path in places(document):
        for other in (without(document, path), *(changed(document, path, odd) for odd in ODD)):
            check(module, type(message), orjson.dumps(other))


@pytest.mark.parametrize(("module", "message"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_the_quick_way_takes_no_other_numbers_and_no_broken_json(module: ModuleType, message: Any) -> None:
    raw = message.encode()
    for odd in (b"1e999", b"NaN", b"1" * 25, b"-" + b"1" * 25, b"01", b'"\\ud800"', b'"\xff"', b"[" * 5000, b"1}", b""):
        for broken in (raw.replace(b":7", b":" + odd), raw.replace(b"null", odd), raw + odd):
            check(module, type(message), broken)


def check(module: ModuleType, kind: Any, raw: bytes) -> None:
    quick = told(kind, raw)
    with patch.object(module, "_read", lambda _: None):
        assert told(kind, raw) == quick, raw


def changed(document: Any, path: Path, value: Any) -> Any:
    (inner, last), found = at(document, path)
    inner[last] = value
    return found


def without(document: Any, path: Path) -> Any:
    (inner, last), found = at(document, path)
    del inner[last]
    return found


def at(document: Any, path: Path) -> tuple[tuple[Any, Any], Any]:
    """What holds the attribute, and its name there, in a copy; and the copy."""
    found = inner = copy.deepcopy(document)
    for key in path[:-1]:
        inner = inner[key]
    return (inner, path[-1]), found
