"""A real API server on this machine: etcd and kube-apiserver, nothing behind them, so that no pod ever runs."""

from __future__ import annotations

import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from syncline.local.machine import free_port
from tests.k8s.parts import binaries, crds

STARTED = 90.0
"""Seconds until the API server says that it is ready; 5 on an idle machine."""

UNDEFINED = {
    "kafka.strimzi.io": {
        "v1": {
            "Kafka": "kafkas",
            "KafkaNodePool": "kafkanodepools",
            "KafkaTopic": "kafkatopics",
            "KafkaUser": "kafkausers",
        }
    },
    "postgresql.cnpg.io": {"v1": {"Cluster": "clusters"}},
}
"""Kinds whose operators publish their definitions in no package: the server takes them as they are. What they may hold
is listed in test_kinds_without_definitions."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    address: str
    token: str

    def kubectl(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Never raises for what the server refuses: look at `returncode` and `stderr`."""
        access = ("--server", self.address, "--token", self.token, "--insecure-skip-tls-verify")
        program = [str(binaries() / "kubectl"), *access, *words]
        return subprocess.run(program, input=given, capture_output=True, text=True, timeout=120)

    def apply(self, text: str, *, keep: bool) -> str:
        """Server-side and strict; returns what the server refused, empty when it took all. `keep`: not only asked."""
        how = () if keep else ("--dry-run=server",)
        done = self.kubectl("apply", "--server-side", "--validate=strict", *how, "-f", "-", given=text)
        return done.stderr if done.returncode else ""


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Raises RuntimeError with the server's last words when it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    token, port = secrets.token_hex(16), free_port()
    (folder / "tokens.csv").write_text(f"{token},tests,tests,system:masters\n")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "accounts.key").write_bytes(key.private_bytes(*encoding))
    clients = f"http://127.0.0.1:{free_port()}"
    peers = f"http://127.0.0.1:{free_port()}"
    etcd = (
        *("etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"),
    )
    server = (
        *("kube-apiserver", "--etcd-servers", clients, "--cert-dir", str(folder / "certificates")),
        *("--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", str(port)),
        *("--service-cluster-ip-range", "10.0.0.0/24", "--endpoint-reconciler-type", "none"),
        *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
        "--allow-privileged",  # as clusters do: refusing is the namespace's own affair
        *("--service-account-issuer", "https://tests", "--service-account-key-file", str(folder / "accounts.key")),
        *("--service-account-signing-key-file", str(folder / "accounts.key")),
    )
    with _running(etcd, folder), _running(server, folder) as process:
        made = ApiServer(f"https://127.0.0.1:{port}", token)
        _wait(made, process, folder / "kube-apiserver.log")
        yield made


def prepare(server: ApiServer) -> None:
    """What a cluster with the operators has: their kinds."""
    texts = [path.read_text() for path in crds()]
    for group, versions in UNDEFINED.items():
        for version, kinds in versions.items():
            texts += [yaml.safe_dump(_any(group, version, kind, plural)) for kind, plural in kinds.items()]
    refused = server.apply("\n---\n".join(texts), keep=True)
    names = [f"crd/{each['metadata']['name']}" for text in texts for each in yaml.safe_load_all(text) if each]
    served = server.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    if refused or served.returncode:
        raise RuntimeError(refused or served.stderr)


def _any(group: str, version: str, kind: str, plural: str) -> dict[str, object]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@contextmanager
def _running(command: tuple[str, ...], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen([str(binaries() / command[0]), *command[1:]], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: ApiServer, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTED
    request = urllib.request.Request(f"{server.address}/readyz", headers={"Authorization": f"Bearer {server.token}"})
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5, context=_unverified()):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the API server did not start:\n{log.read_text()[-4000:]}")


def _unverified() -> SSLContext:
    """The server makes its certificate itself, a moment ago."""
    context = create_default_context()
    context.check_hostname = False
    context.verify_mode = 0  # type: ignore[assignment]
    return context
