"""The published contract as a page for people: `python -m syncline.contracts.pages` prints it, `make docs` keeps it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

HEAD = (
    "<!-- Written by `make docs` from syncline/contracts/asyncapi.yaml and its schemas; change those. -->\n\n"
    "# Contracts\n\n"
    "The same for machines: [AsyncAPI 3](../syncline/contracts/asyncapi.yaml) and "
    "[JSON Schemas](../syncline/contracts/schemas). Check a sample of yours by `syncline contract check FILE`."
)
DIRECTION = {"receive": "you send, Syncline reads", "send": "Syncline sends, you read"}


def asyncapi() -> dict[str, Any]:
    """The document as it is written, with its references."""
    document: dict[str, Any] = yaml.safe_load((files("syncline.contracts") / "asyncapi.yaml").read_text("utf-8"))
    return document


def resolved(document: Mapping[str, Any], node: Any) -> Any:
    """What a reference within the document, or to a schema beside it, leads to; anything else is itself."""
    if not isinstance(node, dict) or "$ref" not in node:
        return node
    place: str = node["$ref"]
    if not place.startswith("#/"):
        return json.loads((files("syncline.contracts") / place).read_text("utf-8"))
    found: Any = document
    for part in place.removeprefix("#/").split("/"):
        found = found[part]
    return found


def page() -> str:
    document = asyncapi()
    parts = [HEAD, _text(document["info"]["description"])]
    for operation in document["operations"].values():
        channel = resolved(document, operation["channel"])
        parts += [
            f"## {channel['title']}",
            f"Topic `{channel['address']}`: {DIRECTION[operation['action']]}. {_text(operation['summary'])}",
            _text(channel["description"]),
        ]
        if parameters := channel.get("parameters"):
            parts.append("\n".join(f"- `{name}`: {_text(each['description'])}" for name, each in parameters.items()))
        for message in channel["messages"].values():
            parts += _message(document, resolved(document, message))
    return "\n\n".join(parts) + "\n"


def _message(document: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[str]:
    schema = resolved(document, message["payload"])
    yield f"### {message['title']}"
    yield _text(" ".join([schema.get("description", ""), message["summary"]]))
    yield "\n".join(["| field | | type | meaning |", "|---|---|---|---|", *_rows(schema)])
    for example in message["examples"]:
        shown = json.dumps(example["payload"], indent=2, ensure_ascii=False)
        yield f"{example['summary']}:\n\n```json\n{shown}\n```"


def _rows(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    required = schema.get("required", ())
    unless = schema.get("else", {}).get("required", ())
    for name, each in schema["properties"].items():
        needed = "required" if name in required else "required unless deleted" if name in unless else ""
        yield f"| `{above}{name}` | {needed} | {_type(each)} | {each.get('description', '')} |"
        if "properties" in each:
            yield from _rows(each, f"{above}{name}.")


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(
        f"array of {_type(schema['items'])}" if kind == "array" else str(kind) + _values(schema, kind) for kind in kinds
    )


def _values(schema: Mapping[str, Any], kind: str) -> str:
    values = schema.get("additionalProperties")
    return f" of {_type(values)}" if kind == "object" and isinstance(values, dict) else ""


def _text(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(page())
