"""The example configuration, which people copy, and the demo's, which is the same one running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.runtime.process import FATAL
from syncline.systems.service import run_service
from tests.unit.config.catalogs import DEMO_ENVIRON

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/pipelines.yaml"
DEMO = ROOT / "syncline/local/demo/pipelines.yaml"
REPLACED = {"Your_Tier__c": "Tier__c", "Your_Segment__c": "Segment__c"}

Leaves = dict[tuple[str, ...], Any]


def test_the_demos_configuration_is_the_example_with_its_placeholders_replaced_and_quicker_polls() -> None:
    example, demo = (dict(leaves(yaml.safe_load(path.read_text()))) for path in (EXAMPLE, DEMO))
    for name, value in list(example.items()):
        if name[-1] == "placeholder":
            place = name[:-1]
            source = example.pop((*place, "from"))
            del example[name]
            renamed = (*place[:-1], REPLACED.get(place[-1], place[-1]))
            example[renamed] = REPLACED.get(source, source)
            assert value is True
            assert example[renamed] != source or renamed != place, "nothing was replaced"
    quicker = {("systems", "salesforce", "poll", each) for each in ("interval", "overlap")}
    assert {name for name in example.keys() | demo.keys() if example.get(name) != demo.get(name)} == quicker
    assert all(demo[each] < example[each] for each in quicker)


def leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*place, name))
    else:
        yield place, value


def test_the_two_files_are_the_same_text_but_for_the_first_lines_and_what_differs() -> None:
    """So that whoever reads one has read the other."""
    example, demo = (path.read_text().partition("systems:")[2].splitlines() for path in (EXAMPLE, DEMO))
    differing = [(one, other) for one, other in zip(example, demo, strict=True) if one != other]
    assert len(differing) == 6
    assert all("placeholder" in one or "seconds" in one for one, _ in differing)


def test_no_service_starts_on_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main(settings: Settings, config: Config, stop: asyncio.Event) -> None:
        raise AssertionError("started")

    for name, value in {**DEMO_ENVIRON, "SYNCLINE_PIPELINES": str(EXAMPLE)}.items():
        monkeypatch.setenv(name, value)
    assert run_service("writer", main) == FATAL
    told = capsys.readouterr().err
    assert told.startswith("writer: the configuration cannot run:\n")
    assert told.count("is a placeholder") == 4
