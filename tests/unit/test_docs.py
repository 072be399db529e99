"""The documentation's examples are valid, and it names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syncline.config.load import parse
from syncline.config.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_the_configuration_page_shows_a_valid_file() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    example = re.search(r"```yaml\n(systems:.*?)```", text, re.DOTALL)
    assert example is not None
    config = parse(example.group(1), name="docs/configuration.md", environ={})
    assert list(config.pipelines) == ["account-to-company"]


def test_the_configuration_page_names_every_setting() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    assert {name.upper() for name in Settings.model_fields} <= named


def test_the_readme_shows_lines_of_the_example() -> None:
    readme = (ROOT / "README.md").read_text()
    example = {line.split("#")[0].strip() for line in (ROOT / "examples" / "pipelines.yaml").read_text().splitlines()}
    shown = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    lines = {line.split("#")[0].strip() for line in shown.group(1).splitlines()}
    assert lines <= example


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: page.name)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)) <= targets
