"""What the repository promises about itself, and no other tool looks at."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("syncline", "services", "benchmarks")
WRITTEN = (*PRODUCT, "tests", "docs", "deploy", "examples", ".ci")
LONGEST = 450

PYPROJECT = (ROOT / "pyproject.toml").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
LOCK = (ROOT / "requirements.lock").read_text()


def texts() -> Iterator[tuple[Path, str]]:
    """Everything that people wrote; what is no text (pictures) is left out."""
    top = [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".lock"]
    below = [path for folder in WRITTEN for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in (*top, *below):
        if "__pycache__" not in path.parts:
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def code(page: Path) -> list[str]:
    """What a page shows as code, in blocks and within sentences."""
    text = page.read_text()
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))]


def test_no_module_of_the_product_is_too_long_to_read() -> None:
    lines = {path: text.count("\n") for path, text in texts() if path.suffix == ".py" and path.parts[0] in PRODUCT}
    assert len(lines) > 50
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [str(path) for path, text in texts() if later.search(text)] == []


def lists() -> dict[str, list[str]]:
    """The lines of each list of dependencies, as they stand in pyproject.toml."""
    starts = re.compile(r"^(dependencies|local|parquet|dev) = \[.*\n((?:  .*\n)+)\]", re.MULTILINE)
    return {name: body.splitlines() for name, body in starts.findall(PYPROJECT)}


def test_every_dependency_of_the_product_has_a_reason() -> None:
    project = tomllib.loads(PYPROJECT)["project"]
    found = lists()
    assert len(found["dependencies"]) == len(project["dependencies"])
    extras = project["optional-dependencies"]
    assert {name: len(found[name]) for name in extras} == {name: len(wanted) for name, wanted in extras.items()}
    for line in (*found["dependencies"], *(line for name in extras for line in found[name])):
        assert re.search(r'",\s+# \S+.*\S', line), line


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads(PYPROJECT)
    locked = set(re.findall(r"^([a-z0-9-]+)(?:\[\S+\])?==", LOCK, re.MULTILINE))
    wanted = [
        *project["project"]["dependencies"],
        *(each for extra in project["project"]["optional-dependencies"].values() for each in extra),
        *project["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0].lower().replace("_", "-") for each in wanted}
    assert names - locked == set()


def test_the_lock_is_by_content_and_names_no_index() -> None:
    entries = re.split(r"^(?=\S)", re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE), flags=re.MULTILINE)
    entries = [each for each in entries if each.strip()]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+(\[\S+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?://|--index-url|--find-links|\bgit\+|@ ", LOCK)


def test_what_make_offers_is_explained_and_phony() -> None:
    explained = set(re.findall(r"^([a-z0-9-]+):.*##", MAKEFILE, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    assert explained == TARGETS == phony


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_pages_name_only_make_targets_that_there_are(page: Path) -> None:
    named = re.findall(r"\bmake ([a-z][a-z0-9-]*)", "\n".join(code(page)))
    assert set(named) - TARGETS == set()


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_pages_link_only_to_what_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
