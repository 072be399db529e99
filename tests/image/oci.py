"""Building and running the image on a machine without a container engine or a registry: a base from Debian's packages,
`buildah` to follow the Dockerfile, `runc` to run what came out as Kubernetes would. All of it as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".local" / "image"
NEEDED = ("buildah", "runc", "debootstrap")
BASE = "localhost/debian-python:bookworm"
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
"""What this machine trusts, so that a build behind a proxy of its own can reach the package registry."""


def missing() -> str:
    """Why no image can be built here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [each for each in NEEDED if not shutil.which(each)]
    return f"needs {', '.join(absent)}" if absent else ""


def _run(*command: str | Path) -> str:
    environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run([str(each) for each in command], env=environ, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr[-4000:]}")
    return done.stdout.strip()


def _buildah(*words: str | Path) -> str:
    return _run("buildah", "--root", KEPT / "store", "--runroot", KEPT / "run", *words)


def make_base() -> None:
    """Debian with Python and nothing else, once."""
    if BASE in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    folder = KEPT / "base"
    shutil.rmtree(folder, ignore_errors=True)
    _run("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm", folder)
    made = _buildah("from", "scratch")
    _buildah("add", "--quiet", made, folder, "/")
    _buildah("commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(folder)


def build(tag: str) -> str:
    """Everything anew; returns the image's name."""
    trusting = ("--volume", f"{TRUSTED}:{TRUSTED}:ro") if TRUSTED.exists() else ()
    given = ("--build-arg", f"BASE={BASE}", "--file", "deploy/docker/Dockerfile")
    _buildah("bud", "--quiet", "--no-cache", "--format", "docker", *trusting, *given, "--tag", f"localhost/{tag}", ".")
    return f"localhost/{tag}"


@dataclass
class Mounted:
    """An image's files, and what it says of itself."""

    image: str
    name: str = field(init=False)
    files: Path = field(init=False)
    config: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.name = _buildah("from", self.image)
        self.files = Path(_buildah("mount", self.name))
        self.config = json.loads(_buildah("inspect", "--type", "image", self.image))["Docker"]["config"]

    def remove(self) -> None:
        _buildah("rm", self.name)

    def start(
        self,
        name: str,
        command: Sequence[str],
        bundle: Path,
        *,
        environ: Mapping[str, str] | None = None,
        files: Mapping[str, Path] | None = None,
        scratch: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """As the manifests ask for: no capability, no new privileges, a read-only root; this machine's own network.

        files: path inside to path here, read-only. scratch: folders inside that may be written to.
        """
        bundle.mkdir(parents=True, exist_ok=True)
        _run("runc", "spec", "--bundle", bundle)
        spec = json.loads((bundle / "config.json").read_text())
        user, _, group = self.config["User"].partition(":")
        spec["root"] = {"path": str(self.files), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": list(command),
            "cwd": self.config["WorkingDir"],
            "env": [*self.config["Env"], *(f"{key}={value}" for key, value in (environ or {}).items())],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "network"]
        spec["mounts"] += [
            {"destination": inside, "type": "bind", "source": str(path), "options": ["bind", "ro", "nosuid", "nodev"]}
            for inside, path in (files or {}).items()
        ]
        owned = ["nosuid", "nodev", f"uid={user}", f"gid={group}"]
        spec["mounts"] += [
            {"destination": each, "type": "tmpfs", "source": "tmpfs", "options": owned} for each in scratch
        ]
        (bundle / "config.json").write_text(json.dumps(spec))
        run = ["runc", "--root", str(KEPT / "runc"), "run", "--bundle", str(bundle), name]
        return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, name: str) -> None:
        """At once, whatever it does; harmless when it has ended."""
        _run("runc", "--root", KEPT / "runc", "delete", "--force", name)

    def run(self, name: str, command: Sequence[str], bundle: Path, **how: Any) -> tuple[int, str]:
        """To its end: exit code and output."""
        process = self.start(name, command, bundle, **how)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said
