"""Nothing in the product connects to Kafka or PostgreSQL past the modules that know how to be let in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import pytest
from aiokafka import conn
from aiokafka.client import AIOKafkaClient

ROOT = Path(__file__).parents[3]
MAKERS = {
    "AIOKafkaConsumer": "syncline/runtime/clients.py",
    "AIOKafkaProducer": "syncline/runtime/clients.py",
    "AIOKafkaAdminClient": "syncline/runtime/clients.py",
    "AIOKafkaClient": "syncline/runtime/clients.py",
    "create_conn": "syncline/runtime/clients.py",
    "create_pool": "syncline/runtime/postgres.py",
    "asyncpg.connect": "syncline/runtime/postgres.py",
}
SEAMS = {"_create_worker_consumer", "_new_producer"}
"""Where Faust makes clients: each of our overrides makes them secure."""


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("maker", MAKERS)
def test_clients_are_made_in_one_place(maker: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("syncline", "services")
        for path in (ROOT / folder).rglob("*.py")
        if any(f".{each}".endswith(f".{maker}") for each in calls(path))
    }
    assert found == {MAKERS[maker]}


def test_those_that_faust_makes_are_secured() -> None:
    found = set()
    for path in (ROOT / "services" / "mapper" / "engine").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in SEAMS:
                called = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
                assert f"super().{node.name}" in called
                found |= {node.name} if "secure" in called else set()
    assert found == SEAMS


def test_the_library_is_the_one_whose_insides_are_known() -> None:
    """What `renewing` leans on: the client's attributes go to each connection, made by a class that can be replaced."""
    assert version("aiokafka") == "0.14.0", "read client.py and conn.py again, then correct this"
    names = {
        "ssl_context",
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_username",
        "sasl_plain_password",
        "sasl_oauth_token_provider",
    }
    assert names <= set(signature(conn.create_conn).parameters)
    for method in (AIOKafkaClient.bootstrap, AIOKafkaClient._get_conn):
        read = {f"_{name}" for name in names} & set(method.__code__.co_names)
        assert read == {f"_{name}" for name in names}
    assert "AIOKafkaConnection" in conn.create_conn.__code__.co_names
