"""Seeded mistakes, one of each kind that the tests must find: what to break in rendered documents, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Document = dict[str, Any]


class Mistake(NamedTuple):
    name: str
    make: Callable[[Sequence[Document]], Any]
    told: str


def one(documents: Sequence[Document], kind: str, name: str) -> Document:
    return next(each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))


def pod(documents: Sequence[Document], name: str = "writer", kind: str = "Deployment") -> Document:
    found: Document = one(documents, kind, name)["spec"]["template"]["spec"]
    return found


def container(documents: Sequence[Document], name: str = "writer", kind: str = "Deployment") -> Document:
    found: Document = pod(documents, name, kind)["containers"][0]
    return found


def settings(documents: Sequence[Document]) -> Document:
    return next(each for each in documents if "SYNCLINE_KAFKA" in (each.get("data") or {}))


POLICY = (
    Mistake("privileged", lambda d: container(d)["securityContext"].update(privileged=True), "is privileged"),
    Mistake(
        "escalation",
        lambda d: container(d)["securityContext"].update(allowPrivilegeEscalation=True),
        "may gain privileges",
    ),
    Mistake("capabilities", lambda d: container(d)["securityContext"].pop("capabilities"), "keeps capabilities"),
    Mistake("added", lambda d: container(d)["securityContext"]["capabilities"].update(add=["NET_RAW"]), "capabilities"),
    Mistake("host network", lambda d: pod(d).update(hostNetwork=True), "uses the node's own"),
    Mistake(
        "host path",
        lambda d: pod(d)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
        "mounts a folder of the node",
    ),
    Mistake("root", lambda d: pod(d)["securityContext"].update(runAsNonRoot=False), "may run as root"),
    Mistake("user 0", lambda d: container(d)["securityContext"].update(runAsUser=0), "may run as root"),
    Mistake("seccomp", lambda d: pod(d)["securityContext"].pop("seccompProfile"), "has no seccomp profile"),
    Mistake(
        "writable root",
        lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False),
        "may write to its image",
    ),
    Mistake("no limits", lambda d: container(d)["resources"].pop("limits"), "has no limit on memory"),
    Mistake("no requests", lambda d: container(d)["resources"]["requests"].pop("cpu"), "requests no cpu"),
    Mistake("no resources in a job", lambda d: container(d, "migrate", "Job").pop("resources"), "requests no memory"),
    Mistake("no startup probe", lambda d: container(d).pop("startupProbe"), "has no startupProbe"),
    Mistake(
        "no liveness", lambda d: container(d, "mapper", "StatefulSet").pop("livenessProbe"), "has no livenessProbe"
    ),
    Mistake("no readiness", lambda d: container(d, "poller").pop("readinessProbe"), "has no readinessProbe"),
    Mistake("latest", lambda d: container(d).update(image="registry.example.com/syncline:latest"), "names no version"),
    Mistake("no tag", lambda d: container(d).update(image="registry.example.com:5000/syncline"), "names no version"),
    Mistake(
        "a secret object",
        lambda d: d.append({"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}),  # type: ignore[attr-defined]
        "is in clear",
    ),
    Mistake(
        "a password in a URL",
        lambda d: settings(d)["data"].update(SYNCLINE_DATABASE_URL="postgresql://app:hunter2@db/syncline"),
        "holds a secret in clear",
    ),
    Mistake(
        "a key in a ConfigMap",
        lambda d: settings(d)["data"].update(SALESFORCE_CLIENT_SECRET="3MVG9"),
        "holds a secret in clear",
    ),
    Mistake(
        "a secret as a variable",
        lambda d: container(d)["env"].append({"name": "DB_PASSWORD", "value": "hunter2"}),
        "holds a secret in clear",
    ),
    Mistake(
        "a secret from a Secret as a variable",
        lambda d: container(d)["env"].append(
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "syncline-hub", "key": "url"}}}
        ),
        "mount it as a file",
    ),
    Mistake(
        "all of a Secret as variables",
        lambda d: container(d)["envFrom"].append({"secretRef": {"name": "syncline-hub"}}),
        "mount it as a file",
    ),
    Mistake("token", lambda d: pod(d).update(automountServiceAccountToken=True), "mounts a token"),
    Mistake("default token", lambda d: pod(d).pop("automountServiceAccountToken"), "mounts a token"),
    Mistake(
        "account's token",
        lambda d: one(d, "ServiceAccount", "writer").pop("automountServiceAccountToken"),
        "mounts its token",
    ),
    Mistake("default account", lambda d: pod(d).pop("serviceAccountName"), "has no account of its own"),
    Mistake(
        "no default deny",
        lambda d: d.remove(one(d, "NetworkPolicy", "deny-all")),  # type: ignore[attr-defined]
        "is not denied by default",
    ),
    Mistake(
        "one direction only",
        lambda d: one(d, "NetworkPolicy", "deny-all")["spec"].update(policyTypes=["Ingress"]),
        "is not denied by default",
    ),
    Mistake(
        "every port",
        lambda d: one(d, "NetworkPolicy", "to-kafka")["spec"]["egress"][0].pop("ports"),
        "opens every port",
    ),
    Mistake(
        "everybody in",
        lambda d: one(d, "NetworkPolicy", "from-prometheus")["spec"]["ingress"][0].pop("from"),
        "lets everybody in",
    ),
    Mistake(
        "no budget",
        lambda d: d.remove(one(d, "PodDisruptionBudget", "writer")),  # type: ignore[attr-defined]
        "has 0 disruption budgets",
    ),
    Mistake(
        "a budget that blocks",
        lambda d: one(d, "PodDisruptionBudget", "writer").update(
            spec={**one(d, "PodDisruptionBudget", "writer")["spec"], "maxUnavailable": 0}
        ),
        "may block a drain",
    ),
    Mistake(
        "a broken replica that blocks",
        lambda d: one(d, "PodDisruptionBudget", "mapper")["spec"].pop("unhealthyPodEvictionPolicy"),
        "a replica that does not work may block a drain",
    ),
    Mistake("no spread", lambda d: pod(d).pop("topologySpreadConstraints"), "on one node"),
    Mistake("no grace", lambda d: pod(d).pop("terminationGracePeriodSeconds"), "how long it may take to stop"),
    Mistake(
        "selector",
        lambda d: one(d, "Deployment", "writer")["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "righter"}
        ),
        "does not select its own pods",
    ),
    Mistake(
        "ConfigMap's name",
        lambda d: container(d)["envFrom"][0]["configMapRef"].update(name="syncline-setting"),
        "there is no ConfigMap syncline-setting",
    ),
    Mistake(
        "pipelines' name",
        lambda d: pod(d)["volumes"][0]["configMap"].update(name="syncline-pipelines"),
        "there is no ConfigMap syncline-pipelines",
    ),
    Mistake("volume's name", lambda d: pod(d)["volumes"].pop(0), "there is no volume pipelines"),
    Mistake("probe's port", lambda d: container(d)["livenessProbe"]["httpGet"].update(port="metric"), "no such name"),
    Mistake(
        "what is scaled",
        lambda d: one(d, "ScaledObject", "mapper")["spec"]["scaleTargetRef"].update(kind="Deployment"),
        "there is no Deployment mapper to scale",
    ),
    Mistake(
        "more replicas than partitions",
        lambda d: one(d, "ScaledObject", "mapper")["spec"].update(maxReplicaCount=24),
        "where there are 12 partitions",
    ),
    Mistake(
        "another Kafka",
        lambda d: one(d, "ScaledObject", "writer")["spec"]["triggers"][0]["metadata"].update(bootstrapServers="k:9093"),
        "asks another Kafka",
    ),
    Mistake(
        "replicas beside a scaler",
        lambda d: one(d, "Deployment", "writer")["spec"].update(replicas=2),
        "would set back what its scaler asked for",
    ),
    Mistake(
        "too many replicas",
        lambda d: one(d, "StatefulSet", "mapper")["spec"].update(replicas=13),
        "more replicas than the 12 partitions",
    ),
    Mistake(
        "a secret that is not mounted",
        lambda d: pod(d, "mapper", "StatefulSet")["volumes"][2]["projected"]["sources"].pop(0),
        "names /run/secrets/kafka/ca.crt, which is not mounted",
    ),
    Mistake(
        "another port of Kafka",
        lambda d: one(d, "NetworkPolicy", "to-kafka")["spec"]["egress"][0]["ports"][0].update(port=9092),
        "does not open port 9093 of SYNCLINE_KAFKA",
    ),
    Mistake(
        "a scaler without login",
        lambda d: one(d, "ScaledObject", "writer")["spec"]["triggers"][0].pop("authenticationRef"),
        "reaches Kafka otherwise than the services",
    ),
    Mistake(
        "a scaler in plain text",
        lambda d: one(d, "ScaledObject", "writer")["spec"]["triggers"][0]["metadata"].pop("tls"),
        "reaches Kafka otherwise than the services",
    ),
    Mistake(
        "another namespace",
        lambda d: one(d, "ScaledObject", "mapper")["metadata"].update(namespace="default"),
        "is in another namespace",
    ),
)

SCHEMA = (
    Mistake("a field's name", lambda d: container(d).update(volumeMount=[]), "'volumeMount' was unexpected"),
    Mistake(
        "a field's type", lambda d: pod(d).update(terminationGracePeriodSeconds="150s"), "is not of type 'integer'"
    ),
    Mistake(
        "a field's lack", lambda d: one(d, "Deployment", "writer")["spec"].pop("selector"), "'selector' is a required"
    ),
    Mistake(
        "an API that is gone",
        lambda d: one(d, "PodDisruptionBudget", "writer").update(apiVersion="policy/v1beta1"),
        "has no PodDisruptionBudget in policy/v1beta1",
    ),
)

SERVER = (
    Mistake("a field's name", lambda d: container(d).update(volumeMount=[]), "field not declared in schema"),
    Mistake(
        "a selector that misses",
        lambda d: one(d, "Deployment", "writer")["spec"]["selector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "righter"}
        ),
        "selector` does not match template `labels`",
    ),
    Mistake(
        "a mount without volume",
        lambda d: container(d)["volumeMounts"].append({"name": "no", "mountPath": "/no"}),
        "volumeMounts[3].name",
    ),
    Mistake(
        "a limit below its request",
        lambda d: container(d)["resources"]["limits"].update(memory="1Mi"),
        "must be less than or equal to memory limit",
    ),
    Mistake(
        "a field of KEDA's",
        lambda d: one(d, "ScaledObject", "writer")["spec"].update(maxReplicas=12),
        "maxReplicas",
    ),
    Mistake(
        "a field of a login's",
        lambda d: one(d, "TriggerAuthentication", "syncline-kafka")["spec"].update(secretTargetRefs=[]),
        "secretTargetRefs",
    ),
    Mistake(
        "a field of the Prometheus operator's",
        lambda d: one(d, "PodMonitor", "syncline")["spec"].update(endpoints=[]),
        "endpoints",
    ),
    Mistake(
        "an API that is gone",
        lambda d: one(d, "PodDisruptionBudget", "writer").update(apiVersion="policy/v1beta1"),
        "no matches for kind",
    ),
    Mistake(
        "a probe that cannot be",
        lambda d: container(d)["startupProbe"].update(failureThreshold=-1),
        "failureThreshold",
    ),
)

PODS = (
    Mistake(
        "privileged",
        lambda d: container(d)["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
        "privileged",
    ),
    Mistake("root", lambda d: pod(d)["securityContext"].update(runAsUser=0), "runAsUser=0"),
    Mistake("not said to be no root", lambda d: pod(d)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    Mistake("capabilities", lambda d: container(d)["securityContext"].pop("capabilities"), "unrestricted capabilities"),
    Mistake("host network", lambda d: pod(d).update(hostNetwork=True), "host namespaces"),
    Mistake("seccomp", lambda d: pod(d)["securityContext"].pop("seccompProfile"), "seccompProfile"),
)
