"""The command line as a person meets it: what it offers, and what it says when something is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from syncline.cli.main import cli
from syncline.config.checks import Finding
from syncline.contracts.catalog import Described
from syncline.contracts.errors import Transient
from syncline.systems.golive import Look
from tests.unit.config.catalogs import DEMO_ENVIRON, SHIPPED

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "syncline/local/demo/pipelines.yaml"
EXAMPLE = ROOT / "examples/pipelines.yaml"


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and none of the settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("SYNCLINE_", "SALESFORCE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def _described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The systems answer without being there."""

    async def nothing(self: Look) -> None:
        return

    async def shipped(self: Look, name: str, *_: Any) -> None:
        self.described |= {kind: Described(each) for kind, each in SHIPPED.items() if kind.system == name}

    for each in ("state", "kafka"):
        monkeypatch.setattr(Look, each, nothing)
    for each in ("salesforce", "postgres"):
        monkeypatch.setattr(Look, each, shipped)


def run(*words: str, pipelines: Path | None = None, **environ: str) -> Result:
    named = {**DEMO_ENVIRON, "SYNCLINE_PIPELINES": str(pipelines)} if pipelines else {}
    return CliRunner().invoke(cli, words, env={**named, **environ})


def test_help_names_every_command_with_a_sentence() -> None:
    told = run("--help")
    assert told.exit_code == 0
    assert {"demo", "up", "migrate", "topics", "check"} <= set(cli.commands)
    listed = told.stdout.partition("Commands:\n")[2].splitlines()
    assert [each.split()[0] for each in listed] == sorted(cli.commands)
    assert all(each.rstrip().endswith((".", "...")) and len(each) <= 100 for each in listed)
    assert "SYNCLINE_PIPELINES" in told.stdout
    assert run("-h").stdout == told.stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_says_what_it_does(name: str) -> None:
    told = run(name, "--help")
    assert told.exit_code == 0
    about = told.stdout.splitlines()[2].strip()
    assert about[0].isupper()
    assert all(option.help for option in cli.commands[name].params if isinstance(option, click.Option))


@pytest.mark.parametrize("command", ["check", "migrate", "topics"])
def test_without_settings_one_line_says_what_is_missing(command: str) -> None:
    told = run(command)
    assert told.exit_code == 1
    assert told.stdout == ""
    assert told.stderr == (
        "Error: cannot read pipelines.yaml: No such file or directory; name another file by SYNCLINE_PIPELINES\n"
    )


def test_every_setting_that_is_wrong_is_named_and_no_value_is_shown() -> None:
    told = run("check", SYNCLINE_PARTITIONS="hush", SYNCLINE_LOG_FORMAT="hush")
    assert told.exit_code == 1
    assert "SYNCLINE_PARTITIONS" in told.stderr
    assert "SYNCLINE_LOG_FORMAT" in told.stderr
    assert "hush" not in told.output


def test_variables_of_the_file_that_are_not_set_are_named() -> None:
    told = run("check", SYNCLINE_PIPELINES=str(DEMO))
    assert told.exit_code == 1
    assert f"set the environment variables {', '.join(sorted(DEMO_ENVIRON))}" in told.stderr


@pytest.mark.usefixtures("_described")
def test_a_mapping_in_which_nothing_is_wrong() -> None:
    told = run("check", pipelines=DEMO)
    assert (told.exit_code, told.stdout) == (0, "nothing to put right\n")
    told = run("check", "--json", pipelines=DEMO)
    assert (told.exit_code, json.loads(told.stdout)) == (0, {"good": True, "findings": [], "told": []})


@pytest.mark.usefixtures("_described")
def test_the_example_is_refused_until_its_placeholders_are_replaced() -> None:
    told = run("check", pipelines=EXAMPLE)
    assert told.exit_code == 1
    *findings, count = told.stdout.splitlines()
    assert count == f"{len(findings)} to put right"
    assert sum("is a placeholder. Name your own field and remove `placeholder: true`" in each for each in findings) == 4
    told = run("check", "--json", pipelines=EXAMPLE)
    document = json.loads(told.stdout)
    assert (told.exit_code, document["good"], len(document["findings"])) == (1, False, len(findings))
    assert set(document["findings"][0]) == {"place", "what", "remedy", "blocks"}


@pytest.mark.usefixtures("_described")
def test_what_does_not_block_is_told_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(self: Look) -> None:
        self.findings.append(Finding("systems.hub", "its clock is slow", "Set it.", blocks=False))
        self.told.append("the first run is cheap")

    monkeypatch.setattr(Look, "state", slow)
    told = run("check", pipelines=DEMO)
    assert (told.exit_code, told.stdout.splitlines()) == (
        0,
        ["to consider: systems.hub: its clock is slow. Set it.", "the first run is cheap", "nothing to put right"],
    )


@pytest.mark.usefixtures("_described")
def test_a_system_that_cannot_be_reached_is_one_finding_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: Look, *_: Any) -> None:
        raise Transient("PostgreSQL cannot be reached: ConnectionRefusedError")

    monkeypatch.setattr(Look, "postgres", away)
    told = run("check", pipelines=EXAMPLE)
    assert told.exit_code == 1
    findings = told.stdout.splitlines()[:-1]
    assert [each for each in findings if "placeholder" not in each and "Your_" not in each] == [
        "systems.hub: PostgreSQL cannot be reached: ConnectionRefusedError. Put it right and check again."
    ]


def test_a_command_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    told = run("chek")
    assert told.exit_code == 2
    assert "No such command 'chek'" in told.stderr
