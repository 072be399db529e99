"""The image as the Dockerfile makes it: what is in it, and that the whole system runs from it, read-only, not root."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from syncline.local.machine import free_port
from tests.conftest import FreshDatabase
from tests.image import oci

pytestmark = pytest.mark.skipif(bool(oci.missing()), reason=f"building an image {oci.missing()}")

PIPELINES = oci.ROOT / "syncline" / "local" / "demo" / "pipelines.yaml"
SERVICES = ("poller", "mapper", "writer")


@pytest.fixture(scope="module")
def image() -> Iterator[oci.Mounted]:
    oci.make_base()
    mounted = oci.Mounted(oci.build("syncline:test"))
    yield mounted
    mounted.remove()


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def digests(files: Path) -> dict[str, str]:
    """What was built, by path; links by where they lead."""
    found = {}
    for folder, _, names in os.walk(files / "opt" / "syncline"):
        for path in (Path(folder) / name for name in names):
            held = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(files))] = hashlib.sha256(held).hexdigest()
    return found


def test_a_second_build_makes_the_same_files(image: oci.Mounted) -> None:
    again = oci.Mounted(oci.build("syncline:again"))
    try:
        first, second = digests(image.files), digests(again.files)
    finally:
        again.remove()
    assert len(first) > 1000
    assert {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)} == set()


def test_it_is_small_and_holds_no_tools(image: oci.Mounted) -> None:
    own = image.files / "opt" / "syncline"
    size = sum(path.lstat().st_size for path in own.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 150_000_000
    assert not list(own.rglob("pip")) + list(own.rglob("hatchling"))
    for tool in ("gcc", "cc", "ld", "make"):
        assert not (image.files / "usr" / "bin" / tool).exists()


def test_its_bill_of_materials_is_what_was_locked(image: oci.Mounted) -> None:
    document = json.loads((image.files / "opt" / "syncline" / "sbom.cdx.json").read_text())
    held = {f"{each['name']}=={each['version']}" for each in document["components"]}
    locked = (oci.ROOT / "deploy" / "docker" / "image.lock").read_text()
    assert document["metadata"]["component"]["name"] == "syncline"
    assert len(held) > 30
    assert [each for each in held if each not in locked] == []
    assert all(each["purl"].startswith("pkg:pypi/") for each in document["components"])


def test_it_is_nobody_and_may_write_nowhere(image: oci.Mounted, tmp_path: Path) -> None:
    script = (
        "import os, pathlib\n"
        "assert os.getuid() == 10001 and os.getgid() == 10001\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "assert 'CapEff:\\t0000000000000000' in status and 'NoNewPrivs:\\t1' in status\n"
        "for place in ('/opt/syncline', '/tmp', '/var/lib', '/'):\n"
        "    try: pathlib.Path(place, 'x').write_text('x')\n"
        "    except OSError: continue\n"
        "    raise SystemExit(f'{place} can be written to')\n"
    )
    assert image.run(unique("nobody"), ["python", "-c", script], tmp_path) == (0, "")


def test_it_says_what_it_is(image: oci.Mounted, tmp_path: Path) -> None:
    code, said = image.run(unique("help"), image.config["Cmd"], tmp_path)
    assert (code, "syncline migrate" in said) == (0, True)


def test_without_its_surroundings_a_service_says_so(image: oci.Mounted, tmp_path: Path) -> None:
    code, said = image.run(unique("alone"), ["python", "-m", "services.writer"], tmp_path)
    assert code == 2
    assert "cannot read pipelines.yaml" in said


async def until(true: Callable[[], Awaitable[Any]], processes: dict[str, subprocess.Popen[str]]) -> Any:
    """Waits for a condition, and fails with the last words of a process that ends before."""
    async with asyncio.timeout(90):
        while not (found := await true()):
            for name, process in processes.items():
                assert process.poll() is None, (
                    f"{name} ended: {process.stdout.read()[-3000:] if process.stdout else ''}"
                )
            await asyncio.sleep(0.2)
    return found


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def test_the_whole_system_runs_from_it(
    image: oci.Mounted, tmp_path: Path, kafka_address: str, fresh_database: FreshDatabase
) -> None:
    """Org, jobs and services, each a container; a new Account becomes a company; all end gracefully when told to."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-org")
    prefix, org_port = unique("image"), free_port()
    running: dict[str, subprocess.Popen[str]] = {}
    async with fresh_database() as state, fresh_database() as hub, aiohttp.ClientSession() as http:
        urls = {"database-url": state, "hub-url": hub}
        for name, url in urls.items():
            (tmp_path / name).write_text(url)
        environ = {
            "SYNCLINE_KAFKA": kafka_address,
            "SYNCLINE_DATABASE_URL_FILE": "/run/database-url",
            "SYNCLINE_HUB_URL_FILE": "/run/hub-url",
            "SYNCLINE_PIPELINES": "/etc/pipelines.yaml",
            "SYNCLINE_PREFIX": prefix,
            "SYNCLINE_PARTITIONS": "4",
            "SYNCLINE_REPLICATION": "1",
            "SYNCLINE_METRICS_HOST": "127.0.0.1",
            "SYNCLINE_SESSION_TIMEOUT": "6",
            "SALESFORCE_LOGIN_URL": f"http://127.0.0.1:{org_port}",
            "SALESFORCE_CLIENT_ID": "simorg",
            "SALESFORCE_CLIENT_SECRET_FILE": "/run/secret",
        }
        files = {"/etc/pipelines.yaml": PIPELINES, "/run/secret": secret}
        files |= {f"/run/{name}": tmp_path / name for name in urls}

        def start(name: str, command: list[str], **more: str) -> subprocess.Popen[str]:
            scratch = ["/var/lib/syncline"] if name == "mapper" else []
            bundle = tmp_path / name
            given = {**environ, **more}
            return image.start(f"{prefix}-{name}", command, bundle, environ=given, files=files, scratch=scratch)

        org = [
            "python",
            "-m",
            "syncline.simorg",
            "--demo",
            "--port",
            str(org_port),
            "--client-secret-file",
            "/run/secret",
        ]
        try:
            running["org"] = start("org", org)
            for command in (["syncline", "migrate", "--hub"], ["syncline", "topics"]):
                code, said = image.run(unique("job"), command, tmp_path / command[1], environ=environ, files=files)
                assert code == 0, said
            ports = {each: free_port() for each in SERVICES}
            for each, port in ports.items():
                running[each] = start(each, ["python", "-m", f"services.{each}"], SYNCLINE_METRICS_PORT=str(port))
            for port in ports.values():
                await until(lambda port=port: answers(http, f"http://127.0.0.1:{port}/live"), running)  # type: ignore[misc]
                await until(lambda port=port: answers(http, f"http://127.0.0.1:{port}/ready"), running)  # type: ignore[misc]
                health = image.config["Healthcheck"]["Test"][1:]
                asked = {**environ, "SYNCLINE_METRICS_PORT": str(port)}
                assert image.run(unique("health"), health, tmp_path / f"health-{port}", environ=asked) == (0, "")
            await make_account(http, f"http://127.0.0.1:{org_port}", secret.read_text())
            connection = await asyncpg.connect(hub)
            try:
                company = "SELECT salesforce_id FROM hub.companies WHERE name = 'Seen from a container'"
                assert await until(lambda: connection.fetchval(company), running)
            finally:
                await connection.close()
            for each in SERVICES:
                running[each].terminate()
            for each in SERVICES:
                said, _ = await asyncio.to_thread(running[each].communicate, timeout=60)
                assert running.pop(each).returncode == 0, said[-3000:]
        finally:
            for name, process in running.items():
                image.end(f"{prefix}-{name}")
                await asyncio.to_thread(process.communicate, timeout=60)


async def make_account(http: aiohttp.ClientSession, org: str, secret: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": "simorg", "client_secret": secret}
    async with http.post(f"{org}/services/oauth2/token", data=form) as reply:
        token = (await reply.json())["access_token"]
    async with http.get(f"{org}/services/data") as reply:
        version = (await reply.json())[-1]["version"]
    headers = {"Authorization": f"Bearer {token}"}
    account = {"Name": "Seen from a container"}
    async with http.post(f"{org}/services/data/v{version}/sobjects/Account", json=account, headers=headers) as reply:
        assert reply.status == 201, await reply.text()
