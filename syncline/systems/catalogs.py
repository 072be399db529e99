"""Asking every configured system what its objects look like."""

from __future__ import annotations

import random
from collections.abc import Iterable

from syncline.config.model import Config, PostgresSystem, SalesforceSystem
from syncline.contracts.catalog import Catalog
from syncline.contracts.errors import RecordRejected
from syncline.contracts.ref import Object
from syncline.hub.tables import catalog as hub_catalog
from syncline.hub.tables import describe
from syncline.state.database import connect
from syncline.systems.salesforce import catalog as salesforce_catalog
from syncline.systems.salesforce import open_salesforce


async def catalogs(config: Config, *, rng: random.Random, only: Iterable[str] | None = None) -> dict[Object, Catalog]:
    """Of every object that a pipeline reads or writes, in all systems or `only` these; an object that the system
    does not show is left out. Costs one describe call an object. Raises Transient, Fatal."""
    wanted = {side for pipeline in config.pipelines.values() for side in (pipeline.from_, pipeline.to)}
    found: dict[Object, Catalog] = {}
    for name in sorted({kind.system for kind in wanted}) if only is None else only:
        system = config.systems[name]
        kinds = sorted(kind for kind in wanted if kind.system == name)
        if isinstance(system, PostgresSystem):
            async with connect(system.url.get_secret_value(), application="syncline-check", size=1) as pool:
                for kind in kinds:
                    described = system.objects[kind.name]
                    found[kind] = hub_catalog(described, await describe(pool, described))
        elif isinstance(system, SalesforceSystem):  # a stream tells nothing of its fields
            async with open_salesforce(system, rng=rng, budget=20.0) as client:
                for kind in kinds:
                    try:
                        found[kind] = salesforce_catalog(await client.describe(kind.name))
                    except RecordRejected as error:
                        if error.code != "NOT_FOUND":
                            raise
    return found
