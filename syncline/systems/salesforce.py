"""From the configuration of a Salesforce system to a client, and from its describe to a catalog."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from syncline.config.model import ClientCredentials, SalesforceSystem
from syncline.contracts.catalog import Catalog, Described, FieldInfo, FieldType, Right
from syncline.contracts.errors import Fatal
from syncline.salesforce import auth
from syncline.salesforce.client import Observer, Salesforce
from syncline.salesforce.transport import HttpTransport

TYPES: dict[str, FieldType] = {
    **dict.fromkeys(("int", "long", "double", "currency", "percent"), "number"),
    **dict.fromkeys(("id", "reference"), "reference"),
    **dict.fromkeys(("location", "base64", "anyType", "complexvalue"), "other"),
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
"""Describe's types (object reference, "Field Types"); the others hold text. A compound address is not one value."""


@asynccontextmanager
async def open_salesforce(
    system: SalesforceSystem, *, rng: random.Random, on_call: Observer | None = None, budget: float = 180.0
) -> AsyncIterator[Salesforce]:
    """Not logged in yet: `connect` does that, or the first call. Raises Fatal for a file that cannot be read."""
    context = _trusting(system.ca_file) if system.ca_file else True
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=20)) as session:
        yield Salesforce(
            HttpTransport(session),
            _flow(system),
            login_url=system.login_url,
            clock=lambda: datetime.now(UTC),
            rng=rng,
            api_version=system.api_version,
            on_call=on_call,
            budget=budget,
        )


def _flow(system: SalesforceSystem) -> auth.Flow:
    given = system.auth
    if isinstance(given, ClientCredentials):
        if given.client_secret is not None:
            return auth.ClientCredentials(given.client_id, given.client_secret.get_secret_value())
        assert given.client_secret_file is not None, "the model asks for one of the two"
        return auth.ClientCredentials(given.client_id, _read(given.client_secret_file))
    return auth.JwtBearer(given.client_id, given.username, _read(given.private_key_file), given.audience)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Fatal(f"cannot read {path}: {error.strerror}") from error


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise Fatal(f"{path} is no certificate that can be trusted: {error}") from error


RIGHTS: dict[str, Right] = {"queryable": "read", "createable": "create", "updateable": "update", "deletable": "delete"}
"""Properties of a describe, which are of the object and of the user that asks ("DescribeSObjectResult")."""


def described(reply: dict[str, Any]) -> Described:
    """An object's describe reply."""
    return Described(catalog(reply), frozenset(right for told, right in RIGHTS.items() if reply[told]))


def catalog(described: dict[str, Any]) -> Catalog:
    """The fields of a describe reply.

    Required is: not nillable, not defaulted on create, createable ("sObject Describe", field properties).
    """
    return {field["name"]: _info(field) for field in described["fields"] if field["type"] != "address"}


def _info(field: dict[str, Any]) -> FieldInfo:
    choices = tuple(each["value"] for each in field["picklistValues"] if each["active"])
    return FieldInfo(
        name=field["name"],
        type=TYPES.get(field["type"], "text"),
        length=field["length"] or None,
        writable=field["createable"] and field["updateable"],
        required=not field["nillable"] and not field["defaultedOnCreate"] and field["createable"],
        external_id=bool(field["externalId"] and field["unique"]),
        choices=choices if field["restrictedPicklist"] else None,
    )
