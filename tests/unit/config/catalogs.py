"""What the simulated org and the shipped hub say of themselves, without either of them running."""

from __future__ import annotations

import re
from importlib.resources import files

from syncline.contracts.catalog import Catalog, FieldInfo, FieldType
from syncline.contracts.ref import Object
from syncline.simorg.metadata import DEMO, Schema
from syncline.systems.salesforce import catalog

DEMO_ENVIRON = {
    "SALESFORCE_LOGIN_URL": "https://acme.my.salesforce.com",
    "SALESFORCE_CLIENT_ID": "syncline",
    "SALESFORCE_CLIENT_SECRET_FILE": "secret",
    "SYNCLINE_HUB_URL": "postgresql://db/hub",
}

TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\S+) \(\n(.*?)\n\);", re.DOTALL)
COLUMN = re.compile(r"^ {4}([a-z_]+) +([a-z]+)(.*)$", re.MULTILINE)
TYPES: dict[str, FieldType] = {"uuid": "text", "text": "text", "boolean": "boolean"}
EMBEDS = {"company": ("hub.companies", ["billing", "shipping"]), "customer": ("hub.customers", ["shipping"])}


def _tables() -> dict[str, Catalog]:
    script = files("syncline.hub").joinpath("schema.sql").read_text(encoding="utf-8")
    return {
        name: {column: _info(column, kind, rest) for column, kind, rest in COLUMN.findall(body)}
        for name, body in TABLE.findall(script)
    }


def _info(name: str, kind: str, rest: str) -> FieldInfo:
    return FieldInfo(
        name=name,
        type="reference" if "REFERENCES" in rest else TYPES[kind],
        required="NOT NULL" in rest and "DEFAULT" not in rest,
        external_id="UNIQUE" in rest or "PRIMARY KEY" in rest,
    )


def _shipped() -> dict[Object, Catalog]:
    tables = _tables()
    columns = ["street", "city", "state", "postal_code", "country"]
    found: dict[Object, Catalog] = {}
    for name, (table, embeds) in EMBEDS.items():
        fields = [f"{embed}.{column}" for embed in embeds for column in columns]
        assert set(columns) <= set(tables["hub.addresses"])
        found[Object("hub", name)] = tables[table] | {field: FieldInfo(name=field) for field in fields}
    for sobject in Schema.standard(DEMO):
        found[Object("salesforce", sobject.name)] = catalog(sobject.describe("/services/data/v65.0"))
    return found


SHIPPED = _shipped()
"""Catalogs of the demo's objects: the org's by `describe`, the hub's read from its schema file."""
