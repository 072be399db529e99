"""Reading all of both systems, for the comparison: past the API of the one and the capture of the other."""

from __future__ import annotations

from typing import Any

import aiohttp

from syncline.config.model import PostgresSystem
from syncline.contracts.ref import Fields, Object, Ref
from syncline.hub.records import record_query
from syncline.hub.tables import describe
from syncline.local.system import System


async def records(system: System, hub: Any, http: aiohttp.ClientSession) -> dict[Object, dict[str, Fields]]:
    """Every live record with the fields that the pipelines read or write. `hub` is a pool."""
    found: dict[Object, dict[str, Fields]] = {}
    for kind in sorted({side for each in system.config.pipelines.values() for side in (each.from_, each.to)}):
        owner = system.config.systems[kind.system]
        if isinstance(owner, PostgresSystem):
            fields = system.config.reads(kind) | _written(system, kind)
            described = owner.objects[kind.name]
            query = record_query(described, await describe(hub, described), fields)
            rows = await hub.fetch(query.select)
            found[kind] = {row[0]: dict(zip(query.fields, row[1:], strict=True)) for row in map(tuple, rows)}
        else:
            async with http.get(f"{system.org_url}/simorg/records/{kind.name}") as reply:
                found[kind] = {each["Id"]: each for each in (await reply.json())["records"] if not each["IsDeleted"]}
    return found


def _written(system: System, kind: Object) -> frozenset[str]:
    users = [each.writes for each in system.config.pipelines.values() if each.to == kind]
    return frozenset().union(*users)


async def pairs(state: Any) -> dict[tuple[Ref, Object], Ref]:
    """From the stored links; `state` is a pool."""
    rows = await state.fetch("SELECT a_system, a_object, a_id, b_system, b_object, b_id FROM syncline.links")
    sides = [(Ref(*row[:3]), Ref(*row[3:])) for row in map(tuple, rows)]
    return {(one, other.kind): other for a, b in sides for one, other in ((a, b), (b, a))}
