"""Writes what is installed beside the running Python as a CycloneDX 1.5 document, the same for the same packages."""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, distributions


def component(package: Distribution) -> dict[str, object]:
    name, about = package.name.lower().replace("_", "-"), package.metadata
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{package.version}",
        "name": name,
        "version": package.version,
        "purl": f"pkg:pypi/{name}@{package.version}",
    }
    if said := about.get("License-Expression"):
        found["licenses"] = [{"expression": said}]
    elif named := [each.rpartition(" :: ")[2] for each in about.get_all("Classifier", []) if each[:7] == "License"]:
        found["licenses"] = [{"license": {"name": each}} for each in named]
    return found


def document() -> dict[str, object]:
    found = sorted((component(each) for each in distributions()), key=lambda each: str(each["name"]))
    own = next(each for each in found if each["name"] == "syncline")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**own, "type": "application"}},
        "components": [each for each in found if each is not own],
    }


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
