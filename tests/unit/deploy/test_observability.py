"""Alerts and dashboard ask for metrics that the services export, and every alert says what to do."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from services.mapper.engine.progress import Progress
from services.mapper.metrics import MapperMetrics
from services.poller.metrics import Metrics
from services.writer.metrics import Outcomes
from syncline.cli.main import cli

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "k8s" / "components" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbooks.md"
RUNBOOKS = RUNBOOK.read_text()

ADDED = {"namespace", "pod", "container", "job"}
"""Labels that Prometheus gives to what it scrapes."""


def exported() -> dict[str, set[str]]:
    """Each metric under the name that Prometheus stores, with its labels."""
    counted: Any = SimpleNamespace(counts=Counter())
    mapper = MapperMetrics(Progress(), counted, counted, counted)
    writer = Outcomes(counted, {})
    metrics = vars(Metrics(CollectorRegistry())).values()
    families: list[Metric] = [*mapper.collect(), *writer.collect()]
    named = [(each._name, each._type, each._labelnames) for each in metrics]
    named += [(each.name, each.type, getattr(each, "_labelnames", ())) for each in families]
    return {f"{name}_total" if kind == "counter" else name: set(labels) for name, kind, labels in named}


EXPORTED = exported()


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "syncline.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return [*(each["expr"] for each in alerts()), *shown, *variables]


def test_there_is_something_to_compare() -> None:
    assert len(EXPORTED) > 15
    assert {"syncline_mapper_lag", "syncline_poller_events_total", "syncline_writer_results_total"} <= EXPORTED.keys()
    assert EXPORTED["syncline_poller_polls_total"] == {"system", "object", "outcome"}


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_exported(expression: str) -> None:
    asked = set(re.findall(r"\bsyncline_\w+", expression))
    assert asked <= EXPORTED.keys()
    assert asked or "up{" in expression


@pytest.mark.parametrize("expression", expressions())
def test_labels_that_are_named_are_exported(expression: str) -> None:
    asked = re.findall(r"\bsyncline_\w+", expression)
    known = ADDED.union(*(EXPORTED[each] for each in asked))
    grouped = [each.strip() for found in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for each in found.split(",")]
    matched = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression)
    assert {*filter(None, grouped), *matched} <= known


def test_every_exported_metric_is_looked_at() -> None:
    """By an alert or the dashboard; else it is noise. Of these a person asks when there is a question."""
    asked = {name for each in expressions() for name in re.findall(r"\bsyncline_\w+", each)}
    assert EXPORTED.keys() - asked == {
        "syncline_mapper_batches_total",
        "syncline_mapper_followed_total",
        "syncline_mapper_restored_total",
        "syncline_poller_requests_total",
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda each: each["alert"])
def test_every_alert_has_a_run_book(alert: dict[str, Any]) -> None:
    section = re.search(rf"^## {alert['alert']}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.DOTALL | re.MULTILINE)
    assert section is not None
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert part in section[1]
    assert alert["annotations"]["runbook"] == f"docs/runbooks.md#{alert['alert'].lower()}"
    assert alert["labels"]["severity"] in ("warning", "critical")


def test_commands_of_the_run_books_can_be_typed() -> None:
    lines = re.findall(r"`(?:kubectl [^`]* -- )?(syncline [a-z-]+[^`]*)`", RUNBOOKS)
    assert len(lines) > 10
    for line in lines:
        command: click.Command = cli
        words = [each.replace("FILE", str(RUNBOOK)) for each in shlex.split(line)[1:]]
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)


def test_every_run_book_has_an_alert() -> None:
    assert set(re.findall(r"^## (Syncline\w+)$", RUNBOOKS, re.MULTILINE)) == {each["alert"] for each in alerts()}
