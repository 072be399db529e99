"""Prometheus itself fires each alert when it should, and keeps quiet when it should not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.parts import promtool
from tests.k8s.rendering import DEPLOY

RULES = yaml.safe_load((DEPLOY / "components" / "prometheus" / "alerts.yaml").read_text())["spec"]
CASES = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
AT = "60m"


@pytest.fixture(scope="module")
def tool() -> Path:
    found = promtool()
    if found is None:
        pytest.skip("there is no promtool, and no Debian to take it from")
    return found


def check(tool: Path, folder: Path, *words: str) -> str:
    done = subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def fired(tool: Path, folder: Path, series: dict[str, str], alert: str) -> bool:
    """Whether `alert` fires an hour after all began."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
    present = [{"series": name, "values": values} for name, values in {**CASES["quiet"], **series}.items()]
    test: dict[str, Any] = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": present,
                "alert_rule_test": [{"eval_time": AT, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    told = check(tool, folder, "test", "rules", "test.yaml")
    assert not told or "got:" in told, told
    return bool(told)


def test_the_rules_are_well_formed(tool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    assert check(tool, tmp_path, "check", "rules", "rules.yaml") == ""


def test_every_alert_has_its_cases() -> None:
    assert [rule["alert"] for group in RULES["groups"] for rule in group["rules"]] == list(CASES["cases"])


@pytest.mark.parametrize("alert", CASES["cases"])
def test_it_fires_and_is_quiet(tool: Path, tmp_path: Path, alert: str) -> None:
    case = CASES["cases"][alert]
    assert fired(tool, tmp_path, case["fires"], alert)
    assert not fired(tool, tmp_path, case["quiet"], alert)
    assert not fired(tool, tmp_path, {}, alert)
