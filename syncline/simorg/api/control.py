"""The bench's own endpoints, outside `/services`: faults, statistics, seeding, the state taken out.

They need no session, cost no quota and suffer no faults; the server listens on the loopback interface alone.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from syncline.simorg.api.call import json_reply
from syncline.simorg.errors import SalesforceError
from syncline.simorg.faults import Fault
from syncline.simorg.org import Org


class Control:
    def __init__(self, org: Org) -> None:
        self._org = org

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/simorg/faults", self.faults),
            web.put("/simorg/faults", self.set_faults),
            web.get("/simorg/settings", self.settings),
            web.patch("/simorg/settings", self.change_settings),
            web.delete("/simorg/sessions", self.end_sessions),
            web.get("/simorg/stats", self.stats),
            web.post("/simorg/load", self.load),
            web.get("/simorg/records/{object}", self.records),
        ]

    async def faults(self, request: web.Request) -> web.Response:
        return json_reply(self._org.faults.to_json())

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replaces all rules: `{"faults": [{"fault": "lock_row", "probability": 0.1}]}`; an empty list ends them."""
        body = await _object(request, {"faults"})
        try:
            rules = [Fault.parse(rule) for rule in body.get("faults", [])]
        except (ValueError, TypeError) as exc:
            raise _bad_request(str(exc)) from exc
        self._org.faults.rules = rules
        return json_reply(self._org.faults.to_json())

    async def settings(self, request: web.Request) -> web.Response:
        latency = self._org.latency
        return json_reply({"quota": self._org.usage.quota, "latency": latency.least, "latency_jitter": latency.jitter})

    async def change_settings(self, request: web.Request) -> web.Response:
        """Any of `quota` (requests in 24 hours), `latency` and `latency_jitter` (seconds)."""
        body = await _object(request, {"quota", "latency", "latency_jitter"})
        for name, value in body.items():
            if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
                raise _bad_request(f"'{name}' must be a number, 0 or more")
        self._org.usage.quota = int(body.get("quota", self._org.usage.quota))
        self._org.latency.least = float(body.get("latency", self._org.latency.least))
        self._org.latency.jitter = float(body.get("latency_jitter", self._org.latency.jitter))
        return await self.settings(request)

    async def end_sessions(self, request: web.Request) -> web.Response:
        """Every token dies at once: what a policy change does to all clients."""
        return json_reply({"ended": self._org.sessions.end_all()})

    async def stats(self, request: web.Request) -> web.Response:
        org = self._org
        usage = {"used": org.usage.used(org.clock()), "quota": org.usage.quota}
        return json_reply({**org.stats.to_json(), "faults": dict(org.faults.struck), "api_usage": usage})

    async def load(self, request: web.Request) -> web.Response:
        """`{"Account": [{…}], "Contact": [{…}]}`, parents first where children name them by external id."""
        body = await _object(request)
        if not all(isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in body.values()):
            raise _bad_request("the body must be an object of arrays of records")
        try:
            loaded = self._org.load(body)
        except SalesforceError as error:
            return json_reply(error.body(), 400)
        return json_reply({"loaded": {name: len(ids) for name, ids in loaded.items()}, "ids": loaded})

    async def records(self, request: web.Request) -> web.Response:
        """All records of an object with their non-empty fields, deleted ones (IsDeleted) included."""
        try:
            return json_reply({"records": self._org.records(request.match_info["object"])})
        except SalesforceError as error:
            return json_reply(error.body(), error.status)


async def _object(request: web.Request, known: set[str] | None = None) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as exc:
        raise _bad_request(f"the body is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise _bad_request("the body must be a JSON object")
    if known is not None and (unknown := set(body) - known):
        raise _bad_request(f"unknown keys {sorted(unknown)}; known are {sorted(known)}")
    return body


def _bad_request(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=reason + "\n")
