"""The README's producers and the configuration page's stream do what they say."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiokafka
import orjson
import pytest
from jsonschema import Draft202012Validator

from syncline.config.load import parse
from syncline.contracts.foreign.door import Door, Message
from syncline.contracts.foreign.read import read
from tests.unit.contracts.test_round_trip import schema
from tests.unit.foreign.samples import CUSTOMER

ROOT = Path(__file__).parents[3]
KAFKAJS = """
require("node:module").prototype.require = ((ask) => function (name) {
  if (name !== "kafkajs") return ask.apply(this, arguments);
  const producer = { connect: async () => {}, send: async (sent) => console.log(JSON.stringify(sent)), disconnect: async () => {} };
  return { Kafka: class { producer() { return producer; } } };
})(require("node:module").prototype.require);
"""  # noqa: E501


def example(language: str) -> str:
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (text,) = found
    return text


def check(topic: str, key: bytes, value: bytes) -> None:
    assert (topic, key) == ("shop.customers", b"c-17")
    Draft202012Validator(schema("inbound.v1")).validate(orjson.loads(value))
    found = read(Door(format="cloudevents", kind=CUSTOMER), Message(key, value))
    assert found
    change = found[0]
    assert (change.ref.id, change.op, change.complete, change.version) == ("c-17", "update", True, "7".rjust(20, "0"))
    assert change.fields == {"id": "c-17", "revision": 7, "name": "Sally", "email": None}


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_producer_takes_at_most_twenty_lines(language: str) -> None:
    assert len(example(language).splitlines()) <= 20


def test_the_producer_in_python_sends_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, bytes, bytes]] = []

    class Producer:
        def __init__(self, *, bootstrap_servers: str) -> None: ...

        async def __aenter__(self) -> Producer:
            return self

        async def __aexit__(self, *_: Any) -> None: ...

        async def send_and_wait(self, topic: str, value: bytes, *, key: bytes) -> None:
            sent.append((topic, key, value))

    runs: list[Any] = []
    monkeypatch.setattr(aiokafka, "AIOKafkaProducer", Producer)
    monkeypatch.setattr(asyncio, "run", runs.append)
    exec(compile(example("python"), "README.md", "exec"), {})
    (work,) = runs
    with pytest.raises(StopIteration):
        work.send(None)
    ((topic, key, value),) = sent
    check(topic, key, value)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_producer_in_javascript_sends_what_is_read() -> None:
    told = subprocess.run(["node", "-"], input=KAFKAJS + example("js"), capture_output=True, text=True, check=True)
    sent = orjson.loads(told.stdout)
    (message,) = sent["messages"]
    check(sent["topic"], message["key"].encode(), message["value"].encode())


def test_the_configuration_page_shows_a_valid_stream() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    (shown,) = [each for each in re.findall(r"```yaml\n(systems:.*?)```", text, re.DOTALL) if "kind: stream" in each]
    config = parse(shown, name="docs/configuration.md", environ={})
    assert list(config.doors) == ["dbserver.public.customers", "shop.visits"]
    assert config.doors["shop.visits"].fields == frozenset({"customer", "place.city"})
