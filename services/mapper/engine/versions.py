"""The releases whose insides the faust_* modules know; with another the mapper does not start."""

from __future__ import annotations

from importlib.metadata import version

from syncline.contracts.errors import Fatal

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


def check_versions() -> None:
    """Raises Fatal unless the packages are those."""
    for package, known in VERSIONS.items():
        if (found := version(package)) != known:
            raise Fatal(f"{package} {found} is installed where the mapper needs exactly {known}")
