"""The poller: one first read of an org that holds Accounts and Contacts, by its query pages, onto the topics."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson

from benchmarks.stage import Bench, Figures, require
from benchmarks.workload import ACCOUNT, CONTACT, org
from services.poller.cursor import normal
from syncline.contracts.change import Change
from syncline.contracts.ref import Ref
from syncline.local.demo.data import Row
from syncline.local.machine import Say

LOOK_BACK = timedelta(days=7)
"""As pipelines.yaml says."""


async def poller(bench: Bench, records: int, say: Say) -> Figures:
    """`records` within the first look-back, a tenth of them Accounts; some older Accounts lie outside of it."""
    config, names = bench.system.config, bench.system.names
    since = (datetime.now(UTC) - LOOK_BACK).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    accounts = org(records // 10, 0)["Account"]
    recent = [row for row in accounts if row["SystemModstamp"] >= since]
    contacts = org(records // 10, records - len(recent))["Contact"]
    await _load(bench.system.org_url, {"Account": accounts, "Contact": contacts})

    expected = Counter(
        (Ref(*kind, row["Id"]), normal(row["SystemModstamp"]), _text({field: row.get(field) for field in reads}))
        for kind, rows in ((ACCOUNT, recent), (CONTACT, contacts))
        for reads in (config.reads(kind),)
        for row in rows
    )
    topics = {names.changes(ACCOUNT): len(recent), names.changes(CONTACT): len(contacts)}
    wave = await bench.wave("first read", records, "poller", "reading", topics)
    events = [Change.decode(record.value) for record in await bench.read(*topics)]
    found = Counter((event.ref, event.version, _text(event.fields)) for event in events)
    require(found == expected, f"{(expected - found).total()} of the org's {records} records have not the right event")
    return Figures("poller", records, (wave,), await bench.bare(list(topics)))


async def _load(org_url: str, rows: dict[str, list[Row]]) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{org_url}/simorg/load", json=rows) as reply:
        require(reply.status == 200, f"the simulated org refused its records: {await reply.text()}")


def _text(fields: Row) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
