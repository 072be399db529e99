"""The schemas that each Kubernetes release publishes of itself, read strictly: a field that is not named is a fault."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import relevance

from tests.k8s.parts import openapi

Document = dict[str, Any]

CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "kafka.strimzi.io/", "postgresql.cnpg.io/")
"""Kinds that operators bring; their definitions are the API server's to check, where there are any."""


def own(document: Document) -> bool:
    return not document["apiVersion"].startswith(CUSTOM)


def faults(document: Document, version: str) -> list[str]:
    """`version` is a Kubernetes release, v1.34.4."""
    kind, where = document["kind"], f"{document['kind']} {document['metadata']['name']}"
    validator = _validators(version, document["apiVersion"]).get(kind)
    if validator is None:
        return [f"{where}: Kubernetes {version} has no {kind} in {document['apiVersion']}"]
    found = sorted(validator.iter_errors(document), key=relevance)
    return [f"{where}: {'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


@cache
def _validators(version: str, api: str) -> dict[str, Draft202012Validator]:
    """By kind. Empty where the release does not serve `api`."""
    name = f"apis__{api.replace('/', '__')}" if "/" in api else f"api__{api}"
    path = openapi(version) / f"{name}_openapi.json"
    if not path.exists():
        return {}
    schemas = json.loads(path.read_text())["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    group, _, number = api.rpartition("/")
    return {
        each["kind"]: Draft202012Validator({"$ref": f"#/components/schemas/{key}", "components": {"schemas": schemas}})
        for key, schema in schemas.items()
        for each in schema.get("x-kubernetes-group-version-kind", [])
        if (each["group"], each["version"]) == (group, number)
    }
