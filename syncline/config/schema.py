"""The JSON Schema of pipelines.yaml, for editors: `make docs` writes it, `syncline schema` prints it."""

from __future__ import annotations

import json
import sys
from typing import Any

from syncline.config.model import Config

VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
PLAIN = ("number", "integer", "boolean")


def schema() -> dict[str, Any]:
    """A file may hold a part of the whole and include the rest; a variable may stand where a number is asked for."""
    document = _variables(Config.model_json_schema(by_alias=True))
    del document["required"]
    document["properties"]["include"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "Files beside this one, whose systems and pipelines are taken as though they stood here.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "title": "Syncline: pipelines.yaml",
        "description": "Systems, and the pipelines between them.",
    }


def page() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _variables(node: Any) -> Any:
    if isinstance(node, list):
        return [_variables(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _variables(each) for key, each in node.items()}
    if found.get("type") in PLAIN:
        told = {key: found.pop(key) for key in ("title", "description", "default") if key in found}
        return {**told, "anyOf": [found, VARIABLE]}
    return found


if __name__ == "__main__":
    sys.stdout.write(page())
