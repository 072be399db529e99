"""The whole of Syncline on one machine: Kafka, PostgreSQL, a hub, a simulated org, and the services as processes."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from syncline.config.load import load
from syncline.config.model import Config, PostgresSystem
from syncline.config.settings import Settings
from syncline.contracts.topics import Names, topics
from syncline.hub.capture import create_hub, install
from syncline.local.machine import Say, make_dir, quiet
from syncline.local.postgres import Databases
from syncline.local.processes import Child, line, spawn
from syncline.local.stack import Stack, stack
from syncline.runtime.admin import create_topics
from syncline.runtime.security import Kafka
from syncline.state.database import connect, migrate

SERVICES = ("poller", "mapper", "writer")
SIMORG = (sys.executable, "-m", "syncline.simorg", "--demo", "--allow-parent-cycles")
PIPELINES = Path(__file__).parent / "demo" / "pipelines.yaml"
"""The example configuration with the placeholders replaced by the demo's own custom fields."""


@dataclass
class System:
    """A running system. `services` are the replicas by name (`poller-0`); more may be started at any time.
    `org` is the simulated org's process, which forgets its records when it ends."""

    folder: Path
    stack: Stack
    org: Child
    org_url: str
    hub_url: str = field(repr=False)
    state_url: str = field(repr=False)
    config: Config
    environ: dict[str, str] = field(repr=False)
    names: Names
    partitions: int
    services: dict[str, Child] = field(default_factory=dict)

    @property
    def kafka(self) -> Kafka:
        return Settings.read(self.environ).kafka

    async def start(self, service: str, replica: int = 0, **environ: str) -> Child:
        """Start one more replica and wait until it says that it lives. Raises Fatal with its last words otherwise."""
        name = f"{service}-{replica}"
        own = {
            "SYNCLINE_INSTANCE": name,
            "SYNCLINE_STATE_DIR": str(self.folder / name),
            **{f"SYNCLINE_{key.upper()}": value for key, value in environ.items()},
        }
        child = await spawn(
            name,
            [sys.executable, "-m", f"services.{service}"],
            env={**self.environ, **own},
            log_dir=self.folder / "logs",
            ready=line("health endpoint"),
        )
        self.services[name] = child
        return child


@asynccontextmanager
async def system(
    folder: Path,
    *,
    say: Say = quiet,
    pipelines: Path = PIPELINES,
    kafka_address: str | None = None,
    database_url: str | None = None,
    prefix: str = "syncline",
    partitions: int = 4,
    org: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[System]:
    """Everything but the services; `environ` is theirs. `org` are further options of `python -m syncline.simorg`.

    A given database server is used with databases of our own names, so the user must be allowed to create them.
    """
    make_dir(folder)
    async with stack(folder, kafka_address=kafka_address, database_url=database_url, say=say) as running:
        server = Databases(running.database_url)
        unique = "" if running.server else f"_{secrets.token_hex(4)}"
        state_url = await server.create_database(f"syncline_state{unique}")
        hub_url = await server.create_database(f"syncline_hub{unique}")
        secret = folder / "client-secret"
        secret.write_text(secrets.token_urlsafe())
        secret.chmod(0o600)
        say("Salesforce: a simulated org")
        simulated = await spawn(
            "simorg",
            [*SIMORG, "--client-secret-file", str(secret), *org],
            log_dir=folder / "logs",
            ready=line('"url"'),
        )
        org_url = _url(simulated.log_since_start())
        own = {
            "SALESFORCE_LOGIN_URL": org_url,
            "SALESFORCE_CLIENT_ID": "simorg",
            "SALESFORCE_CLIENT_SECRET_FILE": str(secret),
            "SYNCLINE_HUB_URL": hub_url,
            "SYNCLINE_DATABASE_URL": state_url,
            "SYNCLINE_KAFKA": running.kafka_address,
            "SYNCLINE_PIPELINES": str(pipelines),
            "SYNCLINE_PREFIX": prefix,
            "SYNCLINE_PARTITIONS": str(partitions),
            "SYNCLINE_REPLICATION": "1",
            **(environ or {}),
        }
        config = load(pipelines, own)
        names = Names(prefix)
        async with connect(state_url, application="syncline-migrate", size=1) as pool:
            await migrate(pool)
        async with connect(hub_url, application="syncline-migrate", size=1) as pool:
            await create_hub(pool)
            for each in config.systems.values():
                if isinstance(each, PostgresSystem):
                    await install(pool, each.objects)
        wanted = topics(names, config.sources, config.targets)
        await create_topics(Settings.read(own).kafka, wanted, partitions=partitions, replication=1)
        made = System(folder, running, simulated, org_url, hub_url, state_url, config, own, names, partitions)
        try:
            yield made
        finally:
            for child in [*made.services.values(), simulated]:
                if child.alive:
                    await child.stop()
            if running.server is None:
                for url in (state_url, hub_url):
                    await server.drop_database(url.rpartition("/")[2].partition("?")[0])


def _url(log: str) -> str:
    for each in log.splitlines():
        if each.startswith("{") and '"url"' in each:
            url: str = json.loads(each)["url"]
            return url
    raise AssertionError("it was ready, so its address is in the log")
