"""Everything that is produced validates against the published schema and survives a round trip."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from syncline.contracts.change import OPS, Change
from syncline.contracts.command import Command
from syncline.contracts.deadletter import STAGES, DeadLetter
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from syncline.contracts.result import OUTCOMES, Result

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
name = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,20}", fullmatch=True)
value = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), text
)
fields = st.dictionaries(name, value, max_size=6)
ref = st.builds(Ref, name, name, text)
time = st.datetimes().map(lambda t: t.isoformat() + "Z")

changes = st.builds(
    Change,
    ref=ref,
    instance=name,
    op=st.sampled_from(sorted(OPS)),
    version=text,
    time=time,
    fields=fields,
    complete=st.booleans(),
    origin=st.none() | text,
)
commands = st.builds(
    Command,
    pipeline=name,
    op=st.just("upsert"),
    source=ref,
    version=text,
    time=time,
    target=st.builds(Object, name, name),
    fields=fields,
    seen=fields,
    inputs=st.dictionaries(name, st.lists(name, max_size=2), max_size=3),
    key=st.none() | name,
    counterpart=st.none() | text,
    match=st.lists(fields, max_size=2),
    conflict=st.dictionaries(name, name, max_size=2),
    creates=st.booleans(),
)
results = st.builds(
    Result,
    pipeline=name,
    outcome=st.sampled_from(sorted(OUTCOMES)),
    source=ref,
    target=st.none() | ref,
    version=text,
    reason=st.none() | text,
    written=st.lists(name, max_size=3).map(tuple),
    created=st.booleans(),
)
requests = st.builds(Request, ref=ref, reason=text, known=st.none() | text)
letters = st.builds(
    DeadLetter,
    stage=st.sampled_from(sorted(STAGES)),
    code=name,
    message=text,
    fields=st.lists(name, max_size=3).map(tuple),
    remedy=text,
    position=text,
    ref=st.none() | ref.map(str),
    pipeline=st.none() | name,
    input=st.none() | st.binary(max_size=20),
)

CONTRACTS = {
    "change.v1": (Change, changes),
    "command.v1": (Command, commands),
    "result.v1": (Result, results),
    "request.v1": (Request, requests),
    "dead-letter.v1": (DeadLetter, letters),
}


def schema(contract: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files("syncline.contracts") / "schemas" / f"{contract}.json").read_text())
    return document


@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_is_produced_validates_and_reads_back_the_same(contract: str) -> None:
    kind, produced = CONTRACTS[contract]
    validator = Draft202012Validator(schema(contract))

    @given(produced)
    def holds(message: Any) -> None:
        raw = message.encode()
        validator.validate(json.loads(raw))
        assert kind.decode(raw) == message  # type: ignore[attr-defined]

    holds()


@given(changes)
def test_absent_and_null_stay_apart(change: Change) -> None:
    with_null = Change.decode(replace(change, fields={**change.fields, "Emptied": None}).encode())
    assert with_null.fields["Emptied"] is None
    assert "Absent" not in with_null.fields
    assert with_null.id != change.id


@given(changes)
def test_the_id_covers_version_and_content_but_not_who_captured_it(change: Change) -> None:
    assert replace(change, instance="another", origin="poll", time="x").id == change.id
    assert replace(change, version=change.version + "1").id != change.id
    assert replace(change, fields={**change.fields, "Name!": "other"}).id != change.id


GOOD = Change(
    ref=Ref("salesforce", "Account", "001"),
    instance="acme",
    op="update",
    version="1",
    time="2026-01-01T00:00:00Z",
    fields={"Name": "Acme"},
)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (b"", "not JSON"),
        (b"[1]", "a JSON object is expected, not list"),
        ({"specversion": "0.3"}, "expected a CloudEvents 1.0 event"),
        ({"source": "salesforce/Account"}, "source must be //system/instance/object"),
        ({"subject": ""}, "must not be empty"),
        ({"subject": None}, "subject must be str, not NoneType"),
        ({"data": "x"}, "data must be dict, not str"),
        ({"data": {"op": "merge", "version": "1", "fields": {}, "complete": True}}, "data.op must be one of create"),
        ({"data": {"op": [], "version": "1", "fields": {}, "complete": True}}, "data.op must be one of create"),
        ({"data": {"op": "update", "fields": {}, "complete": True}}, "data.version is missing"),
        ({"data": {"op": "update", "version": "1", "fields": {"A": {}}, "complete": True}}, "data.fields.A must be"),
        (
            {"data": {"op": "update", "version": "1", "fields": {}, "complete": 1}},
            "data.complete must be bool, not int",
        ),
    ],
)
def test_a_malformed_event_is_refused_by_name(change: bytes | dict[str, Any], complaint: str) -> None:
    raw = change if isinstance(change, bytes) else orjson.dumps({**orjson.loads(GOOD.encode()), **change})
    with pytest.raises(Malformed, match=complaint):
        Change.decode(raw)


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(Malformed, match=r"data\.fields\.Size must be text, a finite number"):
        replace(GOOD, fields={"Size": float("nan")}).encode()


@given(
    st.binary(max_size=60)
    | st.recursive(value, lambda inner: st.lists(inner) | st.dictionaries(text, inner)).map(orjson.dumps)
)
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    for kind, _ in CONTRACTS.values():
        with pytest.raises(Malformed):
            kind.decode(raw)  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoded", ["a", "a*==", "ä"])
def test_an_input_that_is_no_base64_is_malformed(encoded: str) -> None:
    letter = json.loads(DeadLetter.of(Malformed("no"), stage="mapper", position="t/0/1", input=b"{").encode())
    with pytest.raises(Malformed, match="input must be base64"):
        DeadLetter.decode(json.dumps({**letter, "input": encoded}).encode())
