"""What the org offers: logins, versions, resources, describes, limits.

"Get a List of API Versions", "List Available REST Resources", "Describe Global", "sObject Describe", "sObject Basic
Information" and "Limits" in the REST API Developer Guide.
"""

from __future__ import annotations

from aiohttp import web

from syncline.simorg.api.call import NEWEST_VERSION, OLDEST_VERSION, Call, json_reply
from syncline.simorg.drafts import sobject_named

_SEASONS = ("Spring", "Summer", "Winter")
_FIRST_SPRING = (45, 2019)
"""API 45.0 came with Spring '19; three releases a year since."""


def version_label(version: int) -> str:
    number, year = _FIRST_SPRING
    season = (version - number) % 3
    return f"{_SEASONS[season]} '{(year + (version - number) // 3 + (season == 2)) % 100}"


async def versions(request: web.Request) -> web.Response:
    """Needs no session and is not counted."""
    offered = range(OLDEST_VERSION, NEWEST_VERSION + 1)
    return json_reply(
        [{"label": version_label(v), "url": f"/services/data/v{v}.0", "version": f"{v}.0"} for v in offered]
    )


async def resources(call: Call) -> web.Response:
    names = ("sobjects", "query", "queryAll", "limits", "composite")
    return call.reply({name: f"{call.base}/{name}" for name in names})


async def composite(call: Call) -> web.Response:
    return call.reply({"composite": f"{call.base}/composite", "sobjects": f"{call.base}/composite/sobjects"})


async def describe_global(call: Call) -> web.Response:
    return call.reply(
        {
            "encoding": "UTF-8",
            "maxBatchSize": 200,
            "sobjects": [sobject.summary(call.base) for sobject in call.org.schema],
        }
    )


async def describe(call: Call) -> web.Response:
    return call.reply(sobject_named(call.org.schema, call.match("object")).describe(call.base))


async def limits(call: Call) -> web.Response:
    return call.reply(call.org.usage.to_json(call.org.clock()))
