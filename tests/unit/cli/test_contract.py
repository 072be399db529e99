"""A producer is told of a sample what is wrong, where, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from syncline.cli.main import cli
from syncline.contracts.foreign.door import Message
from tests.unit.foreign.samples import DELETE, EVENT, TOMBSTONE, UPDATE, WITH_SCHEMA, binary, structured
from tests.unit.foreign.test_doors import STREAMS


def check(folder: Path, text: str, *words: str) -> Result:
    (folder / "sample.json").write_text(text)
    (folder / "pipelines.yaml").write_text(STREAMS)
    environ = {"SYNCLINE_PIPELINES": str(folder / "pipelines.yaml")}
    return CliRunner().invoke(cli, ["contract", "check", str(folder / "sample.json"), *words], env=environ)


def kcat(*messages: Message) -> str:
    """What `kcat -C -J` prints."""
    return "\n".join(
        json.dumps(
            {
                "topic": "shop",
                "partition": 0,
                "offset": offset,
                "tstype": "create",
                "ts": 1769860800912,
                "broker": 1,
                "headers": [
                    part if isinstance(part, str) else part and part.decode() for pair in each.headers for part in pair
                ],
                "key": each.key and each.key.decode(),
                "payload": each.value and each.value.decode(),
            }
        )
        for offset, each in enumerate(messages)
    )


def test_a_good_sample_is_told_as_what_it_becomes(tmp_path: Path) -> None:
    told = check(tmp_path, json.dumps(EVENT, indent=2))
    assert told.exit_code == 0
    first, last = told.stdout.splitlines()
    assert first.endswith(
        "sample.json:1: ok: update of your-system/your-object/c-17, version 00000000000000000007, "
        "2 fields, what changed alone"
    )
    assert last == "1 message, 0 wrong"


def test_each_wrong_message_is_told_with_its_line_and_the_way_out(tmp_path: Path) -> None:
    lines = [
        structured(),
        structured(data={"op": "update", "fields": {}}),
        structured(time="today"),
        Message(None, b"{torn"),
    ]
    told = check(tmp_path, "\n\n".join((each.value or b"").decode() for each in lines))
    assert told.exit_code == 1
    texts = [line.partition("sample.json:")[2] for line in told.stdout.splitlines()]
    assert texts[0].startswith("1: ok: ")
    assert texts[1].startswith("3: wrong: data.complete is missing. Send what the published JSON Schema asks for")
    assert texts[2].startswith("5: wrong: time must be a time with its offset, as 2026-01-31T12:00:00Z, not 'today'. ")
    assert texts[3].startswith("7: wrong: not JSON: ")
    assert told.stdout.splitlines()[-1] == "4 messages, 3 wrong"


def test_what_kcat_prints_has_keys_and_headers(tmp_path: Path) -> None:
    told = check(tmp_path, kcat(WITH_SCHEMA, UPDATE, DELETE, TOMBSTONE, binary()))
    assert told.exit_code == 0, told.stdout
    texts = [line.partition(": ok: ")[2] for line in told.stdout.splitlines()[:-1]]
    assert [text.partition(",")[0] for text in texts] == [
        "create of your-system/your-object/1001",
        "update of your-system/your-object/1001",
        "delete of your-system/your-object/1001",
        "a tombstone",
        "update of your-system/your-object/c-17",
    ]


def test_a_named_object_is_read_as_the_configuration_says(tmp_path: Path) -> None:
    own = json.dumps({**EVENT, "type": "com.acme.visit", "data": {"number": 9, "place": {}}})
    assert check(tmp_path, own).exit_code == 1
    told = check(tmp_path, own, "--object", "shop.visit")
    assert told.exit_code == 0
    assert "create of shop/visit/9, " in told.stdout
    assert "lacks place.city, which the pipelines read" in told.stdout
    other = check(tmp_path, own, "--object", "shop.other")
    assert other.exit_code == 1
    assert other.stderr.endswith("those that are read: shop.customer, shop.visit\n")


def test_a_machine_gets_one_object(tmp_path: Path) -> None:
    told = check(tmp_path, kcat(structured(), structured(specversion="2")), "--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert document["good"] is False
    good, bad = document["messages"]
    assert (good["good"], good["change"]["data"]["fields"]) == (True, {"name": "Sally", "email": None})
    assert (bad["line"], bad["code"], bad["fields"]) == (2, "MALFORMED", ["specversion"])
    assert bad["remedy"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no message"),
        ("\n \n", "holds no message"),
        ("name,email\nSally,s@x\n", "wrong: not JSON"),
        ("[]", "a JSON object is expected"),
        ('{"topic": "t", "payload": 3}', "must be text, as kcat -C -J prints them"),
        ('{"topic": "t", "payload": "x", "headers": ["odd"]}', "must be text, as kcat -C -J prints them"),
        ('{"topic": "t", "payload": "x", "headers": 3}', "must be text, as kcat -C -J prints them"),
    ],
)
def test_whatever_the_file_holds_there_is_an_answer(tmp_path: Path, text: str, complaint: str) -> None:
    told = check(tmp_path, text)
    assert told.exit_code == 1
    assert complaint in told.output


def test_bytes_that_are_no_text_are_an_answer_too(tmp_path: Path) -> None:
    (tmp_path / "avro").write_bytes(b"\x00\x00\x00\x00\x07\xff\n\xfe")
    told = CliRunner().invoke(cli, ["contract", "check", str(tmp_path / "avro")])
    assert told.exit_code == 1
    assert "wrong: not JSON" in told.stdout
