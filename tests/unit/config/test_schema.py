"""The JSON Schema that editors use: current, and of one mind with the reader."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from syncline.config.schema import page, schema

ROOT = Path(__file__).parents[3]
VALIDATOR = Draft202012Validator(schema())


def faults(text: str) -> list[str]:
    return [fault.json_path for fault in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_what_ships_is_current() -> None:
    place = files("syncline.config") / "pipelines.schema.json"
    assert place.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_it_is_a_schema_that_explains_itself() -> None:
    Draft202012Validator.check_schema(schema())
    pipeline = schema()["$defs"]["Pipeline"]["properties"]
    assert "consent" in pipeline["delete_limit"]["description"]


@pytest.mark.parametrize("place", ["examples/pipelines.yaml", "syncline/local/demo/pipelines.yaml"])
def test_it_takes_what_the_reader_takes(place: str) -> None:
    assert faults((ROOT / place).read_text()) == []


def test_the_example_names_it_for_editors() -> None:
    first, *_ = (ROOT / "examples/pipelines.yaml").read_text().splitlines()
    place = first.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / "examples" / place).resolve() == ROOT / "syncline/config/pipelines.schema.json"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pipelines: {a: {from: x.y, to: z.w, fields: {f: {from: g, tranform: [trim]}}}}", "$.pipelines.a.fields.f"),
        ("pipelines: {a: {from: x.y, to: z.w, fields: {f: {from: g, transform: [trimm]}}}}", "$.pipelines.a.fields.f"),
        ("pipelines: {a: {from: x.y, to: z.w, fields: {}, delete_limit: many}}", "$.pipelines.a.delete_limit"),
        ("pipelines: {a: {to: z.w, fields: {}}}", "$.pipelines.a"),
    ],
)
def test_it_refuses_what_the_reader_refuses(text: str, place: str) -> None:
    assert faults(text) == [place]


def test_a_part_and_a_variable_for_a_number_are_right() -> None:
    assert (
        faults("include: a.yaml\npipelines: {a: {from: x.y, to: z.w, fields: {}, delete_limit: '${LIMIT:-5}'}}") == []
    )
