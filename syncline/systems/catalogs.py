"""Asking every configured system what its objects look like."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from syncline.config.model import Config, HubObject, PostgresSystem, SalesforceSystem
from syncline.contracts.catalog import Catalog, Described
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Object
from syncline.hub.tables import catalog as hub_catalog
from syncline.hub.tables import describe, rights
from syncline.salesforce.client import Salesforce
from syncline.state.database import connect
from syncline.systems.salesforce import described as described_in_salesforce
from syncline.systems.salesforce import open_salesforce


async def catalogs(config: Config, *, rng: random.Random, only: Iterable[str] | None = None) -> dict[Object, Catalog]:
    """The fields alone of `described`."""
    return {kind: each.catalog for kind, each in (await described(config, rng=rng, only=only)).items()}


async def described(
    config: Config, *, rng: random.Random, only: Iterable[str] | None = None
) -> dict[Object, Described]:
    """Every object that a pipeline reads or writes, in all systems or `only` these; an object that the system
    does not show is left out. Costs one describe call an object. Raises Transient, Fatal."""
    found: dict[Object, Described] = {}
    for name in sorted(config.systems) if only is None else only:
        system, kinds = config.systems[name], objects_of(config, name)
        if isinstance(system, PostgresSystem) and kinds:
            async with connect(system.url, application="syncline-check", size=1) as pool:
                found |= {kind: await described_in_hub(pool, system.objects[kind.name]) for kind in kinds}
        elif isinstance(system, SalesforceSystem) and kinds:  # a stream tells nothing of its fields
            async with open_salesforce(system, rng=rng, budget=20.0) as client:
                found |= await salesforce_objects(client, kinds)
    return found


def objects_of(config: Config, system: str) -> list[Object]:
    """Those of this system that a pipeline reads or writes."""
    wanted = {side for pipeline in config.pipelines.values() for side in (pipeline.from_, pipeline.to)}
    return sorted(kind for kind in wanted if kind.system == system)


async def salesforce_objects(client: Salesforce, kinds: Iterable[Object]) -> dict[Object, Described]:
    """Those that the user sees. Raises Transient, Fatal."""
    found = {}
    for kind in kinds:
        try:
            found[kind] = described_in_salesforce(await client.describe(kind.name))
        except RecordRejected as error:
            if error.code != "NOT_FOUND":
                raise
    return found


async def described_in_hub(database: Any, given: HubObject) -> Described:
    """Raises Transient, Fatal."""
    return Described(hub_catalog(given, await describe(database, given)), await rights(database, given))
