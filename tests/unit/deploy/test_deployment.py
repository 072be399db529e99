"""The manifests say the same as the code: times, names, topics, versions, flows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.mapper.engine.settings import EngineSettings
from services.mapper.engine.worker import STOP_TIMEOUT
from services.poller.lease import FAREWELL
from syncline.config.load import load
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal
from syncline.contracts.topics import MESSAGE_BYTES, Names, topics
from syncline.local.kafka import KAFKA_VERSION
from syncline.local.postgres import POSTGRES_VERSION
from syncline.runtime.consume import LONGEST_PASS_MS
from syncline.runtime.health import Health
from syncline.runtime.postgres import new_pool
from syncline.runtime.security import Password
from tests.certificates import Authority, put

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
BASE = DEPLOY / "k8s" / "base"
LOCAL = DEPLOY / "k8s" / "overlays" / "local"
PRODUCTION = DEPLOY / "k8s" / "overlays" / "production"
COMPONENTS = DEPLOY / "k8s" / "components"
SERVICES = ("poller", "mapper", "writer")
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
ENVIRON = {
    "SALESFORCE_LOGIN_URL": "https://acme.my.salesforce.com",
    "SALESFORCE_CLIENT_ID": "id",
    "SALESFORCE_CLIENT_SECRET_FILE": "/secret",
    "SYNCLINE_HUB_URL": "postgresql://hub",
}


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def pod(service: str) -> dict[str, Any]:
    spec: dict[str, Any] = documents(BASE / f"{service}.yaml")[0]["spec"]["template"]["spec"]
    return spec


def literals(path: Path) -> dict[str, str]:
    """Of all ConfigMaps that a kustomization generates."""
    maps = documents(path)[0].get("configMapGenerator", [])
    return dict(each.split("=", 1) for generator in maps for each in generator.get("literals", []))


def test_grace_is_longer_than_a_graceful_stop() -> None:
    longest_pass = LONGEST_PASS_MS / 1000
    engine = EngineSettings(kafka="", app_id="", partitions=1, state_dir=Path())
    needed = {
        "poller": longest_pass + FAREWELL,
        "mapper": max(engine.rebalance_timeout * 0.9, longest_pass) + STOP_TIMEOUT,
        "writer": longest_pass,
    }
    for service, seconds in needed.items():
        assert pod(service)["terminationGracePeriodSeconds"] >= seconds + 10


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_what_is_served(service: str) -> None:
    container = pod(service)["containers"][0]
    assert container["startupProbe"]["httpGet"]["path"] == "/live"  # tables may take long to restore
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    ports = {each["containerPort"] for each in container["ports"]}
    assert ports == {int(literals(BASE / "kustomization.yaml")["SYNCLINE_METRICS_PORT"])}
    # A slow machine may take a while to import everything; what comes after has the endpoint's own patience.
    startup = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    assert 30 <= startup < Health.patience


@pytest.mark.parametrize(
    "path",
    [BASE / "kustomization.yaml", *sorted((DEPLOY / "k8s" / "overlays").glob("*/settings/kustomization.yaml"))],
    ids=lambda path: path.parts[-3],
)
def test_settings_are_known(path: Path) -> None:
    known = {f"SYNCLINE_{name.upper()}" for name in Settings.model_fields}
    given = literals(path)
    assert len(given) > 2
    assert {each.removesuffix("_FILE") for each in given if each.startswith("SYNCLINE_")} <= {
        *known,
        "SYNCLINE_HUB_URL",
    }
    Settings.model_validate(
        {name.removeprefix("SYNCLINE_").lower(): value for name, value in given.items() if name in known}
    )


def test_the_example_mapping_is_the_one_that_is_deployed() -> None:
    """A copy: kustomize takes no file from outside its folder."""
    example, demo = ROOT / "examples" / "pipelines.yaml", ROOT / "syncline" / "local" / "demo" / "pipelines.yaml"
    assert (PRODUCTION / "settings" / "pipelines.yaml").read_text() == example.read_text()
    assert (LOCAL / "settings" / "pipelines.yaml").read_text() == demo.read_text()


def test_the_mapping_needs_no_more_than_is_given() -> None:
    named = set(re.findall(r"\$\{(\w+)\}", (PRODUCTION / "settings" / "pipelines.yaml").read_text()))
    base, own = literals(BASE / "kustomization.yaml"), literals(PRODUCTION / "settings" / "kustomization.yaml")
    assert named <= {*base, *own}


def test_kafka_topics_are_those_that_the_command_makes() -> None:
    declared = {each["metadata"]["name"]: each["spec"] for each in documents(COMPONENTS / "strimzi" / "topics.yaml")}
    made = {topic.name: topic.config for topic in topics(Names(), [], [])}
    assert {name: {key: str(value) for key, value in spec["config"].items()} for name, spec in declared.items()} == made
    broker = documents(COMPONENTS / "strimzi" / "kafka.yaml")[1]["spec"]["kafka"]["config"]
    assert broker["message.max.bytes"] == MESSAGE_BYTES


def test_writers_are_woken_by_every_topic_that_they_read() -> None:
    config = load(PRODUCTION / "settings" / "pipelines.yaml", ENVIRON)
    patch = documents(COMPONENTS / "writer-to-zero" / "kustomization.yaml")[0]["patches"][0]["patch"]
    triggers = next(each["value"] for each in yaml.safe_load(patch) if each["path"] == "/spec/triggers")
    assert {each["metadata"]["topic"] for each in triggers} == {Names().commands(each) for each in config.targets}


def test_scalers_watch_the_groups_of_the_services() -> None:
    groups = {
        each["metadata"]["name"]: each["spec"]["triggers"][0]["metadata"]["consumerGroup"]
        for each in documents(COMPONENTS / "keda" / "scaledobjects.yaml")
    }
    assert groups == {"mapper": Names().mapper, "writer": Names().writer}


def test_what_is_said_about_kafka_fits_together(tmp_path: Path) -> None:
    given = literals(COMPONENTS / "kafka-scram" / "kustomization.yaml")
    held = {"ca.crt": Authority("ours").pem, "password": b"hush"}
    for path, content in held.items():
        put(tmp_path / path, content)
    said = {name: value.replace("/run/secrets/kafka", str(tmp_path)) for name, value in given.items()}
    kafka = Settings.read(said).kafka
    assert kafka.protocol == "SASL_SSL"
    user = next(each for each in documents(COMPONENTS / "strimzi" / "kafka.yaml") if each["kind"] == "KafkaUser")
    assert isinstance(kafka.login, Password)
    assert kafka.login.username.get_secret_value() == user["metadata"]["name"]
    assert user["spec"]["authentication"]["type"] == kafka.login.mechanism.lower()


async def test_the_database_in_the_cluster_is_spoken_to_over_tls(tmp_path: Path) -> None:
    [url] = literals(COMPONENTS / "cnpg" / "kustomization.yaml").values()
    for name, content in (("state-ca.crt", Authority("ours").pem), ("state-password", b"hush")):
        put(tmp_path / name, content)
    assert "sslmode=verify-full" in url
    new_pool(url.replace("/run/secrets/syncline", str(tmp_path)), application="test", least=0, most=1)
    (tmp_path / "state-ca.crt").unlink()
    with pytest.raises(Fatal, match=r"state-ca\.crt"):
        new_pool(url.replace("/run/secrets/syncline", str(tmp_path)), application="test", least=0, most=1)


def flows(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    for policy in documents(path):
        for rule in policy["spec"].get("egress", []):
            for port in rule["ports"]:
                yield policy["spec"]["podSelector"], port["port"]


def test_each_process_reaches_what_it_needs_and_nothing_else() -> None:
    dns, kafka, postgres, salesforce = 53, 9092, 5432, 443
    needed = {
        "poller": {dns, kafka, postgres, salesforce},
        "mapper": {dns, kafka},
        "writer": {dns, kafka, postgres, salesforce},
        "console": {dns, kafka, postgres, salesforce},
        "migrate": {dns, postgres},
        "topics": {dns, kafka},
    }
    for component, ports in needed.items():
        reached = set()
        for selector, port in flows(BASE / "network.yaml"):
            chosen = [each["values"] for each in selector.get("matchExpressions", []) if "component" in each["key"]]
            if all(component in values for values in chosen):
                reached.add(port)
        assert reached == ports, component


@pytest.mark.parametrize("name", ["mapper", "topics"])
def test_who_needs_no_secret_gets_none(name: str) -> None:
    found = [each for path in BASE.glob("*.yaml") for each in documents(path) if each["kind"] != "Kustomization"]
    workload = next(
        each for each in found if each["metadata"]["name"] == name and each["kind"] in ("StatefulSet", "Job")
    )
    text = yaml.safe_dump(workload)
    assert "secret:" not in text
    assert "syncline-secret-files" not in text


def test_what_runs_beside_us_is_of_the_versions_that_are_tested() -> None:
    images = {f"docker.io/apache/kafka:{KAFKA_VERSION}", f"docker.io/library/postgres:{POSTGRES_VERSION}"}
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert images == {compose["kafka"]["image"], compose["postgres"]["image"]}
    for name in ("kafka", "postgres"):
        spec = next(each for each in documents(LOCAL / f"{name}.yaml") if each["kind"] == "StatefulSet")["spec"]
        assert spec["template"]["spec"]["containers"][0]["image"] in images


def test_what_is_in_the_image_is_what_is_tested() -> None:
    tested = set(re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for name in ("image.lock", "build.lock"):
        locked = set(re.findall(r"^\S+==\S+", (DEPLOY / "docker" / name).read_text(), re.MULTILINE))
        assert len(locked) > 4
        assert locked <= tested


def test_the_image_has_every_dependency() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*written["project"]["dependencies"], *written["dependency-groups"]["image"]]
    locked = set(
        re.findall(r"^([a-z0-9-]+)(?:\[\S+\])?==", (DEPLOY / "docker" / "image.lock").read_text(), re.MULTILINE)
    )
    assert {re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0] for each in wanted} - locked == set()


def test_the_image_compiles_nothing_and_is_not_root() -> None:
    assert DOCKERFILE.count("--require-hashes --only-binary :all:") == 2
    assert re.search(r"^USER ([1-9]\d*):([1-9]\d*)$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG BASE=\S+:\S+$", DOCKERFILE, re.MULTILINE)
    user = re.search(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert user is not None
    assert {pod(each)["securityContext"]["runAsUser"] for each in SERVICES} == {int(user[1])}


def test_compose_starts_the_same_commands() -> None:
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert [name for name, each in compose.items() if each.get("read_only") and each.get("configs")] == []
    for mounted in compose["writer"]["volumes"]:
        assert (DEPLOY / mounted.split(":")[0]).is_file()
    for service in SERVICES:
        assert compose[service]["command"] == pod(service)["containers"][0]["command"]
        assert compose[service]["read_only"] is True
        grace = int(compose[service]["stop_grace_period"].removesuffix("s"))
        assert grace == pod(service)["terminationGracePeriodSeconds"]
