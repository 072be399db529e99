"""The whole system on a Kafka and a PostgreSQL that take nobody in plain text, while their passwords are changed."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from pathlib import Path

from syncline.local.demo.data import Sizes, make
from syncline.local.demo.run import story
from syncline.local.system import SERVICES, system
from tests.certificates import Authority, put
from tests.e2e.conftest import SESSION_TIMEOUT, syncline
from tests.secured import Estate
from tests.secured_postgres import Database

SIZES = Sizes(accounts=15, contacts=60, orphans=2, companies=10, customers=30)


async def test_both_sides_are_equal_though_passwords_change(
    secured: Estate,
    secured_database: Database,
    tmp_path: Path,
    topic_prefix: str,
) -> None:
    # SCRAM logins, which the broker cuts off each second; the database by password, its URL naming all files.
    environ = {**SESSION_TIMEOUT, **secured.environ("scram")}
    async with (
        system(
            tmp_path,
            kafka_address=environ["SYNCLINE_KAFKA"],
            database_url=secured_database.url(),
            prefix=topic_prefix.rstrip("."),
            partitions=2,
            environ=environ,
        ) as running,
        story(running) as told,
    ):
        data = make(SIZES, rng=random.Random(9), now=datetime.now(UTC))
        await told.fill(data)
        await asyncio.gather(*(running.start(service) for service in SERVICES))
        some = len(data.org["Contact"]) // 4
        await told.until(lambda: told.running.seen.total("created") > some, "records to flow")

        await secured.set_password("hush-now")
        put(secured.folder / "password", secured.password)
        await secured_database.execute("ALTER ROLE ada PASSWORD 'hush-now'")
        put(secured_database.folder / "password", "hush-now")
        await secured_database.issue(Authority("next"))
        await secured_database.throw_out()

        assert (await told.settled()).equal
        seen = told.running.seen
        assert (seen.held, seen.letters) == (set(), [])
        code, out, err = await syncline(told, "status", "--json")
        assert (code, err) == (0, "")
        assert [(each["stage"], each["replicas"]) for each in json.loads(out)["stages"]] == [(s, 1) for s in SERVICES]
        for child in running.services.values():
            assert await child.stop(grace=30) == 0
            assert "hush" not in child.log_since_start()
