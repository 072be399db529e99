"""Overlays and every sensible choice of components, as kustomize renders them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.parts import KEPT, ROOT, binaries

Document = dict[str, Any]

DEPLOY = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(path.parent.name for path in (DEPLOY / "overlays").glob("*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in (DEPLOY / "components").glob("*/kustomization.yaml"))

KAFKA = (("kafka-scram",), ("strimzi",))
SCALING = ((), ("keda",), ("keda", "writer-to-zero"), ("hpa",))


def choices() -> Iterator[tuple[str, ...]]:
    """Kafka and PostgreSQL in the cluster or elsewhere, what scales, and whether metrics are scraped."""
    for kafka, cnpg, scaling, prometheus in product(KAFKA, (False, True), SCALING, (False, True)):
        yield (
            *kafka,
            *(["cnpg"] if cnpg else []),
            *scaling,
            *(["keda-scram"] if "keda" in scaling else []),
            *(["prometheus"] if prometheus else []),
        )


def combined(components: tuple[str, ...]) -> Path:
    """A kustomization of the base, production's settings and these components."""
    folder = KEPT / "choices" / ("-".join(components) or "none")
    folder.mkdir(parents=True, exist_ok=True)
    up = Path(*[".."] * len(folder.relative_to(ROOT).parts)) / "deploy" / "k8s"
    written = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "syncline",
        "resources": [str(up / "base")],
        "components": [
            str(up / "overlays/production/settings"),
            *(str(up / "components" / each) for each in components),
        ],
        "images": [{"name": "syncline", "newTag": "0.1.0"}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return folder


@cache
def text(folder: Path) -> str:
    """What `kubectl apply -k` would send. Raises RuntimeError with kustomize's own words."""
    done = subprocess.run([binaries() / "kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def documents(folder: Path) -> list[Document]:
    return [each for each in yaml.safe_load_all(text(folder)) if each]


def everything() -> dict[str, Path]:
    """Each overlay and each choice of components, by name."""
    chosen = {f"base+{'+'.join(each) or 'nothing'}": combined(each) for each in choices()}
    return {**{name: DEPLOY / "overlays" / name for name in OVERLAYS}, **chosen}
