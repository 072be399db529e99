"""Other systems are built on the released contracts: a change that would break them fails here.

`released` holds the schemas of the last release. A release copies the present ones there; a break needs a new version
of the contract beside the old one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.contracts.compatibility import breaks

RELEASED = Path(__file__).parent / "released"
SCHEMAS = Path(__file__).parents[3] / "syncline" / "contracts" / "schemas"
PUBLIC = {"change.v1": True, "result.v1": True, "dead-letter.v1": True, "inbound.v1": False}
"""Contract to whether we write its messages; `inbound` is what others send."""


def load(folder: Path, contract: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / f"{contract}.json").read_text())
    return document


@pytest.mark.parametrize("contract", PUBLIC)
def test_the_contract_keeps_what_was_released(contract: str) -> None:
    assert breaks(load(RELEASED, contract), load(SCHEMAS, contract), produced=PUBLIC[contract]) == []


def test_every_released_contract_is_compared() -> None:
    assert {path.stem for path in RELEASED.glob("*.json")} == set(PUBLIC)


Edit = Callable[[dict[str, Any]], Any]
BREAKS: list[tuple[str, Edit, str]] = [
    ("change.v1", lambda s: s["properties"].pop("subject"), "subject: removed"),
    ("change.v1", lambda s: s["properties"]["data"]["properties"].pop("origin"), "data.origin: removed"),
    (
        "change.v1",
        lambda s: s["properties"]["data"]["properties"]["op"]["enum"].remove("undelete"),
        "data.op: narrowed",
    ),
    ("change.v1", lambda s: s["properties"]["data"]["properties"]["op"]["enum"].append("merge"), "data.op: widened"),
    ("change.v1", lambda s: s["properties"]["type"].update(const="syncline.change.v2"), "type: narrowed"),
    ("change.v1", lambda s: s["properties"]["id"].update(minLength=2), "id: narrowed"),
    ("change.v1", lambda s: s["properties"]["id"].update(maxLength=64), "id: narrowed"),
    ("change.v1", lambda s: s["properties"]["id"].update(type="integer"), "id: narrowed"),
    ("change.v1", lambda s: s["properties"]["id"].update(pattern="^[0-9]+$"), "id: narrowed"),
    ("change.v1", lambda s: s["properties"]["source"].pop("pattern"), "source: widened"),
    ("change.v1", lambda s: s["required"].append("datacontenttype"), "datacontenttype: newly required"),
    ("change.v1", lambda s: s["required"].remove("time"), "time: no longer required"),
    ("change.v1", lambda s: s.update(additionalProperties=False), "*: narrowed"),
    (
        "change.v1",
        lambda s: s["properties"]["data"]["properties"]["fields"]["additionalProperties"]["type"].remove("null"),
        "data.fields.*: narrowed",
    ),
    ("result.v1", lambda s: s["properties"]["outcome"]["enum"].remove("skipped"), "outcome: narrowed"),
    ("result.v1", lambda s: s["properties"]["target"]["anyOf"].pop(), "target: narrowed"),
    ("result.v1", lambda s: s["properties"]["target"]["anyOf"][0].update(pattern="^x$"), "target: narrowed"),
    ("result.v1", lambda s: s["properties"]["written"]["items"].update(minLength=3), "written.[]: narrowed"),
    ("result.v1", lambda s: s["properties"]["reason"].update(type="string"), "reason: narrowed"),
    ("inbound.v1", lambda s: s["required"].append("subject"), "subject: newly required"),
    ("inbound.v1", lambda s: s["properties"]["data"]["else"]["required"].append("version"), "data: narrowed"),
]


@pytest.mark.parametrize(("contract", "edit", "told"), BREAKS, ids=[f"{each[0]} {each[2]}" for each in BREAKS])
def test_a_break_is_found_where_it_is(contract: str, edit: Edit, told: str) -> None:
    released = load(RELEASED, contract)
    now = copy.deepcopy(released)
    edit(now)
    assert told in breaks(released, now, produced=PUBLIC[contract])


KEEPS: list[tuple[str, Edit]] = [
    ("change.v1", lambda s: s["properties"].update(partitionkey={"type": "string"})),
    ("change.v1", lambda s: s["properties"]["data"]["properties"].update(more={"type": "object"})),
    ("change.v1", lambda s: s["properties"]["id"].update(description="Another sentence.")),
    ("inbound.v1", lambda s: s["properties"]["data"]["properties"]["op"]["enum"].append("merge")),
    ("inbound.v1", lambda s: s["properties"]["subject"].pop("maxLength")),
    ("inbound.v1", lambda s: s["required"].remove("id")),
]


@pytest.mark.parametrize(("contract", "edit"), KEEPS)
def test_what_breaks_nobody_is_free(contract: str, edit: Edit) -> None:
    released = load(RELEASED, contract)
    now = copy.deepcopy(released)
    edit(now)
    assert now != released
    assert breaks(released, now, produced=PUBLIC[contract]) == []
