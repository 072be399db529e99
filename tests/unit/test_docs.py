"""The documentation's examples are valid, and it names what exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from syncline.cli.main import cli
from syncline.config.kafka import KafkaSettings
from syncline.config.load import parse
from syncline.config.model import Config
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal, RecordRejected
from syncline.contracts.transforms.steps import KEYS, WORDS
from syncline.mapping import Transformer
from syncline.runtime.postgres import new_pool
from tests.certificates import Authority, put

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
    assert {f"KAFKA_{name.upper()}" for name in KafkaSettings.model_fields} <= named


def shown_environments(start: str) -> list[dict[str, str]]:
    """Of the shell examples that set a variable which begins so."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    blocks = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if start in block]
    lines = [[shlex.split(line)[1] for line in block.splitlines()] for block in blocks]
    return [dict(each.split("=", 1) for each in exports) for exports in lines]


@pytest.fixture
def secrets(tmp_path: Path) -> Callable[[str], str]:
    """Makes the files that a value names, and names these instead."""
    authority = Authority("ours")
    pair = authority.issue("syncline")
    held = {"ca.crt": authority.pem, ".crt": pair.certificate, ".key": pair.key, "": b"hush"}

    def made(value: str) -> str:
        for path in re.findall(r"/run/secrets/[\w./-]+", value):
            place = tmp_path / path.removeprefix("/run/secrets/")
            place.parent.mkdir(parents=True, exist_ok=True)
            put(place, next(content for end, content in held.items() if path.endswith(end)))
        return value.replace("/run/secrets", str(tmp_path))

    return made


@pytest.mark.parametrize("shown", shown_environments("SYNCLINE_KAFKA_SECURITY_PROTOCOL"))
def test_the_ways_into_kafka_that_are_shown_fit(shown: dict[str, str], secrets: Callable[[str], str]) -> None:
    kafka = Settings.read({name: secrets(value) for name, value in shown.items()}).kafka
    assert kafka.protocol == shown["SYNCLINE_KAFKA_SECURITY_PROTOCOL"]
    assert (kafka.login.mechanism if kafka.login else None) == shown.get("SYNCLINE_KAFKA_SASL_MECHANISM")


async def test_the_urls_that_are_shown_fit(secrets: Callable[[str], str]) -> None:
    [shown] = shown_environments("SYNCLINE_DATABASE_URL=")
    assert set(shown) == {"SYNCLINE_DATABASE_URL", "SYNCLINE_HUB_URL"}
    for url in shown.values():
        with pytest.raises(Fatal, match="No such file"):
            new_pool(url, application="test", least=0, most=1)
        new_pool(secrets(url), application="test", least=0, most=1)


def shown_fields() -> list[tuple[str, Any, dict[str, Any], str]]:
    """Of the examples of fields: name, mapping, record, and what becomes of it."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    blocks = re.findall(r"```yaml\n(fields:\n.*?)```", text, re.DOTALL)
    return [
        (name, mapping, yaml.safe_load(record), result)
        for block in blocks
        for line in block.splitlines()[1:]
        if not line.strip().startswith("#")
        for shown, _, example in [line.rpartition("  # ")]
        for name, mapping in yaml.safe_load(shown).items()
        for record, _, result in [example.partition(" -> ")]
    ]


@pytest.mark.parametrize(("name", "mapping", "record", "result"), shown_fields())
def test_fields_become_what_the_configuration_page_says(
    name: str, mapping: Any, record: dict[str, Any], result: str
) -> None:
    pipeline = {"from": "shop.thing", "to": "hub.thing", "fields": {name: mapping}}
    systems = {
        "shop": {"kind": "stream", "objects": {"thing": {"topic": "things", "format": "cloudevents"}}},
        "hub": {"kind": "postgres", "url": "x", "objects": {"thing": {"table": "things"}}},
    }
    config = Config.model_validate({"systems": systems, "pipelines": {"p": pipeline}})
    transformer = Transformer(config, config.pipelines["p"])
    if result == "dead letter":
        with pytest.raises(RecordRejected):
            transformer.apply(record)
    else:
        wanted = {} if result == "nothing" else {name: yaml.safe_load(result)}
        assert transformer.apply(record).fields == wanted


def test_every_step_is_shown_with_an_example() -> None:
    steps = [step for _, mapping, *_ in shown_fields() for step in mapping.get("transform", [])]
    shown = {step if isinstance(step, str) else next(iter(step)) for step in steps}
    assert shown == {*WORDS, *KEYS}


def test_the_variables_that_are_shown_mean_something() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    lines = [shlex.split(each)[1] for each in re.findall(r"^export SYNCLINE__.*$", text, re.MULTILINE)]
    example = re.search(r"```yaml\n(systems:.*?)```", text, re.DOTALL)
    assert example is not None
    config = parse(example.group(1), name="shown", environ=dict(each.split("=", 1) for each in lines))
    assert len(lines) == 4
    assert config.pipelines["account-to-company"].delete_limit == 5


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


def commands(page: Path) -> list[str]:
    """The lines of shell examples that run the command line."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("syncline ")]


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: page.name)
def test_commands_that_are_shown_can_be_typed(page: Path) -> None:
    for line in commands(page):
        command: click.Command = cli
        words = shlex.split(line, comments=True)[1:]
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # raises for an option or argument that there is not


def test_the_pages_on_operations_show_commands() -> None:
    assert len(commands(ROOT / "docs" / "operations.md")) > 20
