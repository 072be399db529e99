"""The two servers that tests may ask for, and the order of tests by what must be running.

`kafka_address` and `fresh_database` (or `database_url`) start nothing until a test asks for them. Each takes the first
of these that there is: the address in $SYNCLINE_KAFKA or $SYNCLINE_DATABASE_URL, a container where Docker runs and has
or can pull the image, the local stack.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import settings

from syncline.local.kafka import KAFKA_VERSION, kafka
from syncline.local.machine import run_dir
from syncline.local.postgres import POSTGRES_VERSION, Databases, postgres
from syncline.local.stack import DATABASE_VARIABLE, KAFKA_VARIABLE
from syncline.runtime.postgres import place
from tests.secured import Estate, estate
from tests.secured_postgres import Database, programs, secured_postgres

FOLDERS = ("unit", "contract", "integration", "e2e")  # in the order in which they run
KAFKA_IMAGE = "confluentinc/cp-kafka:7.6.0"  # the one that testcontainers knows how to configure
POSTGRES_IMAGE = f"postgres:{POSTGRES_VERSION}"

RUN = f"test{uuid.uuid4().hex[:6]}"
"""Names of this run start with it: runs may share a broker or a server."""

settings.register_profile("syncline", deadline=None)  # how busy the machine is says nothing of the code
settings.load_profile("syncline")

Prepare = Callable[[str], Awaitable[None]]
"""Fills an empty database, given its URL; must leave no connection open."""

FreshDatabase = Callable[..., AbstractAsyncContextManager[str]]
"""`async with fresh_database() as url` is an empty database, dropped at the end of the block.

`fresh_database(prepare)` is a copy of a template on which `prepare` ran once in this run.
"""

_fallbacks = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_fallbacks] = []


def pytest_report_header() -> list[str]:
    """What would be used; nothing is started for it."""
    return [
        f"kafka: {_source(KAFKA_VARIABLE, KAFKA_IMAGE, f'Kafka {KAFKA_VERSION}')}",
        f"postgres: {_source(DATABASE_VARIABLE, POSTGRES_IMAGE, f'PostgreSQL {POSTGRES_VERSION}')}",
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for fallback in config.stash[_fallbacks]:
        terminalreporter.write_line(fallback)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)

    items.sort(key=rank)


@pytest.fixture(scope="session")
async def kafka_address(pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A broker for the whole run, shared by its tests: name topics and groups after `topic_prefix`."""
    async with AsyncExitStack() as running:
        if given := os.environ.get(KAFKA_VARIABLE):
            running.push_async_callback(_delete_topics, given)
            yield given
        elif container := await _container(running, pytestconfig, KAFKA_IMAGE, _kafka_container):
            yield container.get_bootstrap_server()
        else:
            data_dir = running.enter_context(run_dir(name="tests-kafka"))
            yield (await running.enter_async_context(kafka(data_dir))).address


@pytest.fixture(scope="session")
async def secured() -> AsyncIterator[Estate]:
    """A broker that asks who one is, for the whole run: always a local one, as the tests replace what it trusts."""
    with run_dir(name="tests-secured") as folder:
        async with estate(folder) as running:
            yield running


@pytest.fixture(scope="session")
async def secured_database() -> AsyncIterator[Database]:
    """A PostgreSQL that takes nobody without TLS; skips where the machine has no programs for it."""
    if programs() is None:
        pytest.skip("no PostgreSQL with TLS on this machine; Debian's package postgresql is one")
    with run_dir(name="tests-secured-postgres") as folder:
        async with secured_postgres(folder) as running:
            yield running


@pytest.fixture
def topic_prefix() -> str:
    """Names that start with it are this test's own on the shared broker."""
    return f"{RUN}.{uuid.uuid4().hex[:6]}."


@pytest.fixture(scope="session")
async def fresh_database(pytestconfig: pytest.Config) -> AsyncIterator[FreshDatabase]:
    """See FreshDatabase; for fixtures of any scope."""
    async with AsyncExitStack() as running:
        if given := os.environ.get(DATABASE_VARIABLE):
            databases = Databases(given)
        elif container := await _container(running, pytestconfig, POSTGRES_IMAGE, _postgres_container):
            databases = Databases(container.get_connection_url())
        else:
            data_dir = running.enter_context(run_dir(name="tests-postgres"))
            databases = await running.enter_async_context(postgres(data_dir))
        templates: dict[Prepare, str] = {}

        async def template(prepare: Prepare | None) -> str:
            if prepare is None:
                return "template1"
            if prepare not in templates:
                name = f"{RUN}_template{len(templates)}"
                running.push_async_callback(databases.drop_database, name)
                await prepare(await databases.create_database(name))
                templates[prepare] = name
            return templates[prepare]

        @asynccontextmanager
        async def fresh(prepare: Prepare | None = None) -> AsyncIterator[str]:
            name = f"{RUN}_{uuid.uuid4().hex[:6]}"
            url = await databases.create_database(name, template=await template(prepare))
            try:
                yield url
            finally:
                await databases.drop_database(name)

        yield fresh


@pytest.fixture
async def database_url(fresh_database: FreshDatabase) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    async with fresh_database() as url:
        yield url


@pytest.fixture
def all_ended() -> Callable[[Iterable[int]], Awaitable[None]]:
    """`await all_ended(pids)` waits until none of these processes runs; TimeoutError after ten seconds."""

    def runs(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        stat = Path(f"/proc/{pid}/stat")  # one that ended, but whose parent has not asked how yet, is in state Z
        return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")

    async def wait(pids: Iterable[int]) -> None:
        left = set(pids)
        async with asyncio.timeout(10):
            while left := {pid for pid in left if runs(pid)}:
                await asyncio.sleep(0.02)

    return wait


def _source(variable: str, image: str, local: str) -> str:
    if given := os.environ.get(variable):
        return f"{place(given) if '://' in given else given}, from {variable}"
    local_stack = f"local stack ({local} from packages)"
    return f"testcontainers ({image}), else the {local_stack}" if _docker_runs() else local_stack


@cache
def _docker_runs() -> bool:
    return _docker("version", limit=1.5)  # seconds: with a hanging daemon too, nobody waits


def _docker(*words: str, limit: float) -> bool:
    program = shutil.which("docker")
    if program is None:
        return False
    try:
        return subprocess.run([program, *words], capture_output=True, timeout=limit).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _has_image(image: str) -> bool:
    return _docker("image", "inspect", image, limit=5) or _docker("pull", "--quiet", image, limit=180)


async def _container(
    running: AsyncExitStack, config: pytest.Config, image: str, build: Callable[[], Any]
) -> Any | None:
    """The started container, which ends with `running`; None where there is no Docker or it cannot be started."""
    if not _docker_runs():
        return None
    if not await asyncio.to_thread(_has_image, image):
        config.stash[_fallbacks].append(f"{image} cannot be pulled: the local stack was used instead")
        return None

    def start() -> tuple[Any, str]:
        try:
            return build().start(), ""
        except Exception as exc:  # Docker's, testcontainers' and the socket's
            return None, str(exc)

    container, fault = await asyncio.to_thread(_quietly, start)
    if fault:
        config.stash[_fallbacks].append(f"{image} cannot be started ({fault}): the local stack was used instead")
    else:
        running.push_async_callback(asyncio.to_thread, _quietly, container.stop)
    return container


def _quietly(call: Callable[[], Any]) -> Any:
    """Docker's client leaves sockets to the garbage collector, which warns of them; warnings are errors here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = call()
        gc.collect()
        return result


def _kafka_container() -> Any:
    from testcontainers.community.kafka import KafkaContainer

    return KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")


def _postgres_container() -> Any:
    from testcontainers.community.postgres import PostgresContainer

    return PostgresContainer(POSTGRES_IMAGE, driver=None)


async def _delete_topics(address: str) -> None:
    """Leave a broker that is not ours as we found it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        ours = [topic for topic in await admin.list_topics() if topic.startswith(RUN)]
        if ours:
            await admin.delete_topics(ours)
    finally:
        await admin.close()
