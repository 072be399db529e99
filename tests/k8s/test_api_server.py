"""A real API server takes every overlay and every choice of components, server-side and strict."""

from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s import mistakes, policy
from tests.k8s.api_server import ApiServer
from tests.k8s.rendering import DEPLOY, documents, everything, text

EVERYTHING = everything()
PRODUCTION = DEPLOY / "overlays" / "production"


@pytest.fixture(scope="module")
def installed(server: ApiServer) -> ApiServer:
    """Production is applied; the default account is one that a cluster's controllers make."""
    assert server.apply(text(PRODUCTION), keep=True) == ""
    made = server.kubectl("create", "serviceaccount", "default", "--namespace", "syncline")
    assert made.returncode == 0, made.stderr
    return server


def test_applying_it_again_changes_nothing(installed: ApiServer) -> None:
    def generations() -> dict[str, int]:
        kinds = "deployments,statefulsets,jobs,configmaps,networkpolicies,poddisruptionbudgets,scaledobjects"
        listed = installed.kubectl("get", kinds, "--namespace", "syncline", "-o", "json")
        return {policy.name(each): each["metadata"].get("generation", 0) for each in json.loads(listed.stdout)["items"]}

    before = generations()
    assert len(before) > 15
    assert installed.apply(text(PRODUCTION), keep=True) == ""
    assert generations() == before


@pytest.mark.parametrize("folder", EVERYTHING.values(), ids=EVERYTHING)
def test_everything_is_taken(installed: ApiServer, folder: Path) -> None:
    # A Job cannot be changed, so each choice's Jobs are asked for under names of their own.
    renamed = [_renamed(each) if each["kind"] == "Job" else each for each in documents(folder)]
    assert installed.apply(yaml.safe_dump_all(renamed), keep=False) == ""


def _renamed(job: dict[str, Any]) -> dict[str, Any]:
    return {**job, "metadata": {**job["metadata"], "name": f"{job['metadata']['name']}-again"}}


def pods(folder: Path) -> list[dict[str, Any]]:
    """The pods that the controllers would make."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{workload['metadata']['name']}-0", "namespace": "syncline", **template["metadata"]},
            "spec": {"restartPolicy": "Always", **template["spec"]},
        }
        for workload, template in policy.pods(documents(folder))
    ]


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_pod_is_let_in_under_the_restricted_standard(installed: ApiServer, overlay: str) -> None:
    """Controllers make the pods, so that a refusal would show only as pods that never come."""
    made = pods(DEPLOY / "overlays" / overlay)
    assert {each["metadata"]["name"] for each in made} >= {"poller-0", "mapper-0", "writer-0", "migrate-0", "topics-0"}
    assert installed.apply(yaml.safe_dump_all(made), keep=False) == ""


@pytest.mark.parametrize("mistake", mistakes.SERVER, ids=lambda each: each.name)
def test_the_server_refuses_a_seeded_mistake(installed: ApiServer, mistake: mistakes.Mistake) -> None:
    broken = copy.deepcopy([each for each in documents(PRODUCTION) if each["kind"] != "Job"])
    mistake.make(broken)
    assert mistake.told in installed.apply(yaml.safe_dump_all(broken), keep=False)


@pytest.mark.parametrize("mistake", mistakes.PODS, ids=lambda each: each.name)
def test_the_standard_refuses_a_seeded_mistake(installed: ApiServer, mistake: mistakes.Mistake) -> None:
    broken = copy.deepcopy(documents(PRODUCTION))
    mistake.make(broken)
    spec = mistakes.pod(broken)
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "broken", "namespace": "syncline"}, "spec": spec}
    told = installed.apply(yaml.safe_dump(made), keep=False)
    assert 'violates PodSecurity "restricted' in told
    assert mistake.told in told


def test_kinds_without_definitions() -> None:
    """Strimzi and CloudNativePG publish their definitions in no package. These are the fields that their reference
    pages name and that we use; a new one is looked up there before it comes in here."""
    used = {
        f"{each['kind']}: {path}"
        for folder in EVERYTHING.values()
        for each in documents(folder)
        if each["apiVersion"].startswith(("kafka.strimzi.io/", "postgresql.cnpg.io/"))
        for path in _paths(each["spec"])
    }
    assert sorted(used) == sorted(FIELDS)


def _paths(value: Any, start: str = "") -> set[str]:
    if isinstance(value, dict) and value and not start.endswith((".config", ".requests", ".limits")):
        return {path for key, each in value.items() for path in _paths(each, f"{start}.{key}")}
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return {path for each in value for path in _paths(each, f"{start}[]")}
    return {start.removeprefix(".")}


FIELDS = {
    "Cluster: bootstrap.initdb.database",
    "Cluster: bootstrap.initdb.owner",
    "Cluster: instances",
    "Cluster: postgresql.synchronous.method",
    "Cluster: postgresql.synchronous.number",
    "Cluster: resources.limits",
    "Cluster: resources.requests",
    "Cluster: storage.size",
    "Kafka: entityOperator.topicOperator",
    "Kafka: entityOperator.userOperator",
    "Kafka: kafka.authorization.type",
    "Kafka: kafka.config",
    "Kafka: kafka.listeners[].authentication.type",
    "Kafka: kafka.listeners[].name",
    "Kafka: kafka.listeners[].port",
    "Kafka: kafka.listeners[].tls",
    "Kafka: kafka.listeners[].type",
    "KafkaNodePool: replicas",
    "KafkaNodePool: resources.limits",
    "KafkaNodePool: resources.requests",
    "KafkaNodePool: roles",
    "KafkaNodePool: storage.type",
    "KafkaNodePool: storage.volumes[].id",
    "KafkaNodePool: storage.volumes[].kraftMetadata",
    "KafkaNodePool: storage.volumes[].size",
    "KafkaNodePool: storage.volumes[].type",
    "KafkaTopic: config",
    "KafkaTopic: partitions",
    "KafkaTopic: replicas",
    "KafkaUser: authentication.type",
    "KafkaUser: authorization.acls[].operations",
    "KafkaUser: authorization.acls[].resource.name",
    "KafkaUser: authorization.acls[].resource.patternType",
    "KafkaUser: authorization.acls[].resource.type",
    "KafkaUser: authorization.type",
}


PAGES = [DEPLOY.parents[1] / "docs" / name for name in ("kubernetes.md", "runbooks.md")]
ON_PODS = ("exec", "logs", "rollout", "wait")
CHANGES = ("scale", "delete", "annotate", "patch", "set")


def typed() -> list[list[str]]:
    """The kubectl commands that the pages show, in blocks and in sentences."""
    found: dict[str, None] = {}
    for page in PAGES:
        for shown in re.findall(r"```sh\n(.*?)```|`(kubectl [^`]+)`", page.read_text(), re.DOTALL):
            for line in "".join(shown).splitlines():
                if line.startswith("kubectl ") and " apply " not in line and " -" in line:
                    found[line] = None
    return [shlex.split(line, comments=True)[1:] for line in found]


@pytest.mark.parametrize("words", typed(), ids=lambda words: " ".join(words)[:60])
def test_what_the_pages_tell_to_type_meets_what_is_there(installed: ApiServer, words: list[str]) -> None:
    """Nothing runs in these pods: of what needs one, that there is such a thing, or such labels."""
    verb = words[2]
    if verb in ON_PODS:
        named = [each for each in words if each.startswith(("deploy/", "deployment/", "statefulset/"))]
        asked = ["get", *(named or ["deployments,statefulsets"])]
        if "-l" in words:
            selector = words[words.index("-l") + 1]
            asked += ["-l", selector]
        done = installed.kubectl(*asked, "--namespace", "syncline", "-o", "name")
        assert done.stdout, done.stderr
    else:
        said = [each for each in words if each != "-w"]
        done = installed.kubectl(*said, *(["--dry-run=server"] if verb in CHANGES else []))
        absent = verb in ("delete", "describe") and "pod" in words  # no controller makes any here
        assert done.returncode == 0 or (absent and "NotFound" in done.stderr), done.stderr


def test_the_pages_show_commands() -> None:
    assert len(typed()) > 20


def test_an_apply_brings_back_the_replicas_that_a_person_took_away(installed: ApiServer) -> None:
    poller = yaml.safe_dump_all(each for each in documents(PRODUCTION) if each["metadata"]["name"] == "poller")
    where = ("deployment/poller", "--namespace", "syncline")
    assert installed.kubectl("scale", "--replicas=0", *where).returncode == 0
    assert installed.apply(poller, keep=True) == ""
    assert installed.kubectl("get", *where, "-o", "jsonpath={.spec.replicas}").stdout == "2"
