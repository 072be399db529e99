"""What no manifest may do, whoever wrote it. Pure: rendered documents in, one sentence for each fault out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Faults = Iterator[str]

SERVING = ("Deployment", "StatefulSet", "DaemonSet")
WRITES_TO_ITS_IMAGE = {"kafka"}
"""Containers of images that are not ours and cannot do without; only the overlay for one machine has them."""
WITHOUT_ACCOUNT = {"kafka", "postgres", "simorg"}
"""Workloads of the overlay for one machine, which run under the namespace's default account, its token not mounted."""

_NAMED_SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"://[^/\s:@]+:[^@\s]+@|-----BEGIN [A-Z ]*PRIVATE KEY|\bpassword\s*=\s*\S", re.IGNORECASE)


def name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def pods(documents: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    """Each workload with its pod template."""
    for each in documents:
        template = each.get("spec", {}).get("template", {})
        if "containers" in template.get("spec", {}):
            yield each, template


def containers(documents: Sequence[Document]) -> Iterator[tuple[Document, Document, Document]]:
    """Each workload with its pod's spec and one of its containers."""
    for workload, template in pods(documents):
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield workload, spec, container


def privileged(documents: Sequence[Document]) -> Faults:
    for workload, spec, container in containers(documents):
        own = container.get("securityContext", {})
        where = f"{name(workload)}: container {container['name']}"
        if own.get("privileged"):
            yield f"{where} is privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{where} may gain privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            yield f"{where} keeps capabilities"
        for each in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(each):
                yield f"{name(workload)} uses the node's own: {each}"
        for volume in spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{name(workload)} mounts a folder of the node: {volume['name']}"


def root(documents: Sequence[Document]) -> Faults:
    for workload, spec, container in containers(documents):
        context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        where = f"{name(workload)}: container {container['name']}"
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{where} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{where} has no seccomp profile"
        if not context.get("readOnlyRootFilesystem") and container["name"] not in WRITES_TO_ITS_IMAGE:
            yield f"{where} may write to its image"


def limits(documents: Sequence[Document]) -> Faults:
    for workload, _, container in containers(documents):
        given = container.get("resources", {})
        where = f"{name(workload)}: container {container['name']}"
        for each in ("cpu", "memory"):
            if each not in given.get("requests", {}):
                yield f"{where} requests no {each}"
        if "memory" not in given.get("limits", {}):
            yield f"{where} has no limit on memory"


def probes(documents: Sequence[Document]) -> Faults:
    for workload, template in pods(documents):
        for container in template["spec"]["containers"]:
            for each in ("startupProbe", "livenessProbe", "readinessProbe"):
                if workload["kind"] in SERVING and each not in container:
                    yield f"{name(workload)}: container {container['name']} has no {each}"


def images(documents: Sequence[Document]) -> Faults:
    for workload, _, container in containers(documents):
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield f"{name(workload)}: image {image} names no version"


def secrets(documents: Sequence[Document]) -> Faults:
    for each in documents:
        if each["kind"] == "Secret":
            yield f"{name(each)} is in clear: only references to secrets belong here"
        for key, value in (each.get("data") or {}).items() if each["kind"] == "ConfigMap" else ():
            if _SECRET_TEXT.search(value) or (_NAMED_SECRET.search(key) and not key.endswith("_FILE")):
                yield f"{name(each)}: {key} holds a secret in clear"
    for workload, _, container in containers(documents):
        where = f"{name(workload)}: container {container['name']}"
        for variable in container.get("env", []):
            value = variable.get("value", "")
            hidden = _NAMED_SECRET.search(variable["name"]) and not variable["name"].endswith("_FILE")
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield f"{where}: {variable['name']} puts a secret into the environment: mount it as a file"
            elif _SECRET_TEXT.search(value) or (value and hidden):
                yield f"{where}: {variable['name']} holds a secret in clear"
        if any("secretRef" in source for source in container.get("envFrom", [])):
            yield f"{where}: puts a secret into the environment: mount it as a file"
        said = " ".join([*container.get("command", []), *container.get("args", [])])
        if _SECRET_TEXT.search(said):
            yield f"{where}: its command holds a secret in clear"


def tokens(documents: Sequence[Document]) -> Faults:
    for each in documents:
        if each["kind"] == "ServiceAccount" and each.get("automountServiceAccountToken") is not False:
            yield f"{name(each)} mounts its token"
    known = {each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount"}
    for workload, template in pods(documents):
        spec = template["spec"]
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name(workload)} mounts a token"
        own = workload["metadata"]["name"] in WITHOUT_ACCOUNT
        if not own and spec.get("serviceAccountName") not in known:
            yield f"{name(workload)} has no account of its own"


def network(documents: Sequence[Document]) -> Faults:
    """Every pod of ours is under a policy that denies both directions, and no policy lets all in or out."""
    policies = [each for each in documents if each["kind"] == "NetworkPolicy"]
    for workload, template in pods(documents):
        labels = template["metadata"]["labels"]
        denied = {
            direction
            for policy in policies
            if _selects(policy["spec"]["podSelector"], labels) and not {"ingress", "egress"} & policy["spec"].keys()
            for direction in policy["spec"]["policyTypes"]
        }
        if denied != {"Ingress", "Egress"}:
            yield f"{name(workload)}: its traffic is not denied by default"
    for policy in policies:
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            if not rule.get("ports"):
                yield f"{name(policy)} opens every port"
        for rule in policy["spec"].get("ingress", []):
            if not rule.get("from"):
                yield f"{name(policy)} lets everybody in"


def availability(documents: Sequence[Document]) -> Faults:
    """Each service has a disruption budget that lets a node drain, is spread, and has an end to its grace."""
    budgets = [each for each in documents if each["kind"] == "PodDisruptionBudget"]
    for workload, template in pods(documents):
        if workload["metadata"]["name"] not in ("poller", "mapper", "writer"):
            continue
        mine = [each for each in budgets if _selects(each["spec"]["selector"], template["metadata"]["labels"])]
        if len(mine) != 1:
            yield f"{name(workload)} has {len(mine)} disruption budgets"
        elif not mine[0]["spec"].get("maxUnavailable"):
            yield f"{name(workload)}: its disruption budget may block a drain"
        elif mine[0]["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{name(workload)}: a replica that does not work may block a drain"
        if not template["spec"].get("topologySpreadConstraints"):
            yield f"{name(workload)} may have all its replicas on one node"
        if "terminationGracePeriodSeconds" not in template["spec"]:
            yield f"{name(workload)} says nothing of how long it may take to stop"


def references(documents: Sequence[Document]) -> Faults:
    """What is named is there, and labels meet: a typing error here shows only when pods do not start."""
    there = {(each["kind"], each["metadata"]["name"]) for each in documents}
    for workload, template in pods(documents):
        if "selector" in workload["spec"] and not _selects(
            workload["spec"]["selector"], template["metadata"]["labels"]
        ):
            yield f"{name(workload)} does not select its own pods"
        volumes = {each["name"]: each for each in template["spec"].get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in there:
                yield f"{name(workload)}: there is no ConfigMap {volume['configMap']['name']}"
    for workload, spec, container in containers(documents):
        where = f"{name(workload)}: container {container['name']}"
        for source in container.get("envFrom", []):
            if "configMapRef" in source and ("ConfigMap", source["configMapRef"]["name"]) not in there:
                yield f"{where}: there is no ConfigMap {source['configMapRef']['name']}"
        mounts = {each["name"] for each in container.get("volumeMounts", [])}
        if missing := mounts - {each["name"] for each in spec.get("volumes", [])}:
            yield f"{where}: there is no volume {', '.join(sorted(missing))}"
        ports = {each["name"] for each in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for how in ("httpGet", "tcpSocket"):
                port = container.get(probe, {}).get(how, {}).get("port")
                if port is not None and port not in ports:
                    yield f"{where}: {probe} asks port {port}, which has no such name"
    for each in documents:
        target = each.get("spec", {}).get("scaleTargetRef")
        if target and (target["kind"], target["name"]) not in there:
            yield f"{name(each)}: there is no {target['kind']} {target['name']} to scale"
        if each["metadata"].get("namespace", "syncline") != "syncline":
            yield f"{name(each)} is in another namespace"


def scaling(documents: Sequence[Document]) -> Faults:
    """More replicas than partitions have no work, and mappers without work never become ready."""
    settings = [each for each in documents if each["kind"] == "ConfigMap" and "SYNCLINE_PARTITIONS" in each["data"]]
    partitions = int(settings[0]["data"]["SYNCLINE_PARTITIONS"])
    scaled = set()
    for each in documents:
        spec = each.get("spec", {})
        most = {"ScaledObject": "maxReplicaCount", "HorizontalPodAutoscaler": "maxReplicas"}.get(each["kind"])
        if most:
            scaled.add((spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]))
            if spec[most] != partitions:
                yield f"{name(each)}: at most {spec[most]} replicas, where there are {partitions} partitions"
        for trigger in spec.get("triggers", []) if each["kind"] == "ScaledObject" else ():
            if trigger["metadata"]["bootstrapServers"] != settings[0]["data"]["SYNCLINE_KAFKA"]:
                yield f"{name(each)} asks another Kafka than the services use"
    for workload, _ in pods(documents):
        own = (workload["kind"], workload["metadata"]["name"])
        if own in scaled and "replicas" in workload["spec"]:
            yield f"{name(workload)}: each apply would set back what its scaler asked for"
        if own[1] in ("mapper", "writer") and workload["spec"].get("replicas", 1) > partitions:
            yield f"{name(workload)}: more replicas than the {partitions} partitions"


def access(documents: Sequence[Document]) -> Faults:
    """Who is told of a file has it, Kafka's port is open, and who else asks Kafka logs in as the services do."""
    maps = {each["metadata"]["name"]: each["data"] for each in documents if each["kind"] == "ConfigMap"}
    for workload, spec, container in containers(documents):
        if workload["metadata"]["name"] in WITHOUT_ACCOUNT:
            continue
        told = {
            variable: value
            for source in container.get("envFrom", [])
            for variable, value in maps.get(source.get("configMapRef", {}).get("name"), {}).items()
            if variable.startswith("SYNCLINE_")
        }
        mounted = set(_mounted(spec, container))
        for variable, value in told.items():
            overridden = variable.endswith("_FILE") and variable.removesuffix("_FILE") in told
            for path in () if overridden else re.findall(r"/run/secrets/[\w./-]+", value):
                if path not in mounted:
                    yield f"{name(workload)}: {variable} names {path}, which is not mounted"
    known = {key: value for each in maps.values() for key, value in each.items()}
    port = int(known["SYNCLINE_KAFKA"].rpartition(":")[2])
    [policy] = [each for each in documents if name(each) == "NetworkPolicy to-kafka"]
    if port not in {each["port"] for rule in policy["spec"]["egress"] for each in rule.get("ports", [])}:
        yield f"{name(policy)} does not open port {port} of SYNCLINE_KAFKA"
    for each in documents:
        for trigger in each["spec"]["triggers"] if each["kind"] == "ScaledObject" else ():
            login = "SYNCLINE_KAFKA_SASL_MECHANISM" in known
            if login != ("authenticationRef" in trigger) or login != (trigger["metadata"].get("tls") == "enable"):
                yield f"{name(each)} reaches Kafka otherwise than the services"


def _mounted(spec: Document, container: Document) -> Iterator[str]:
    places = {each["name"]: each["mountPath"] for each in container.get("volumeMounts", [])}
    for volume in spec.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                yield f"{places.get(volume['name'])}/{item['path']}"


RULES: tuple[Callable[[Sequence[Document]], Faults], ...] = (
    privileged,
    root,
    limits,
    probes,
    images,
    secrets,
    tokens,
    network,
    availability,
    references,
    scaling,
    access,
)


def faults(documents: Sequence[Document]) -> list[str]:
    return [fault for rule in RULES for fault in rule(documents)]


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    chosen = selector.get("matchExpressions") or []
    assert all(each["operator"] == "In" for each in chosen), "no manifest here uses another operator"
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(each["key"]) in each["values"] for each in chosen
    )
