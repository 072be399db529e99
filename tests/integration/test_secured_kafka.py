"""Every way into a real broker: let in, refused in plain words, and going on while what lets one in is replaced."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncline.contracts.errors import Transient
from syncline.contracts.topics import Topic
from syncline.runtime.admin import asking, create_topics
from syncline.runtime.clients import new_consumer, new_producer
from syncline.runtime.consume import Record, consume
from syncline.runtime.kafka import Message, publisher
from syncline.runtime.lag import groups
from syncline.runtime.leaving import stop_member
from syncline.runtime.scan import reader, scan
from syncline.runtime.security import Kafka, Tls
from syncline.runtime.waiting import patiently
from tests.certificates import Authority, put
from tests.integration.engine_harness import bench, changes, expected_joined, expected_tables
from tests.secured import HOST, Estate

WAYS = ("tls", "scram", "oauth")
WITHIN = 30.0


@dataclass
class Load:
    """Numbered messages through one topic; sent: acknowledged ones, seen: how often each arrived."""

    kafka: Kafka
    topic: str
    sent: int = 0
    seen: Counter[int] = field(default_factory=Counter)
    repeats: int = 0

    async def publish(self, stop: asyncio.Event) -> None:
        async with publisher(self.kafka, "test") as out:
            while not stop.is_set():
                numbers = range(self.sent, self.sent + 10)
                try:
                    await out.publish([Message(self.topic, b"%d" % each, b"%d" % each) for each in numbers])
                except Transient:
                    self.repeats += 1  # as a service does
                else:
                    self.sent += 10
                await asyncio.sleep(0.01)

    async def read(self, stop: asyncio.Event) -> None:
        async def handle(records: Sequence[Record]) -> None:
            self.seen.update(int(record.value) for record in records)

        await consume(
            [self.topic],
            handle,
            address=self.kafka,
            group=f"{self.topic}-readers",
            client_id="test",
            stop=stop,
            linger=0,
            most=1000,
            session_timeout=6,
            rng=random.Random(1),
        )

    @property
    def whole(self) -> bool:
        return self.seen.keys() == set(range(self.sent))


@asynccontextmanager
async def loaded(kafka: Kafka, topic: str) -> AsyncIterator[Load]:
    """Published and consumed until the block ends; then all that was published must have come."""
    await create_topics(kafka, [Topic(topic)], partitions=2, replication=1)
    load, sending, reading = Load(kafka, topic), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(load.publish(sending)), asyncio.create_task(load.read(reading))]
    try:
        yield load
        sending.set()
        await tasks[0]
        await until(lambda: load.whole, tasks)
    finally:
        sending.set()
        reading.set()
        _, hanging = await asyncio.wait(tasks, timeout=WITHIN)
        for each in hanging:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=bool(hanging))


async def until(true: Callable[[], bool], tasks: Sequence[asyncio.Task[None]] = ()) -> None:
    async with asyncio.timeout(WITHIN):
        while not true():
            for each in tasks:
                if each.done():
                    each.result()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("way", WAYS)
async def test_every_kind_of_client_is_let_in(secured: Estate, way: str, topic_prefix: str) -> None:
    kafka, topic = secured.kafka(way), f"{topic_prefix}in"
    async with loaded(kafka, topic) as load:
        await until(lambda: load.sent >= 50 and load.seen.total() > 0)
    async with reader(kafka) as consumer:
        found = await scan(consumer, {topic: range(2)}, lambda _: True, since=None, progress=lambda *_: None)
    assert {int(record.value) for record in found} == set(range(load.sent))
    [group] = await groups(kafka, {f"{topic}-readers": [topic]}, partitions=2)
    assert group.lag == {topic: 0}


async def test_a_broker_that_asks_for_a_new_login_loses_nothing(
    secured: Estate, topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each connection is followed by another before the broker would close it."""
    caplog.set_level(logging.INFO, "aiokafka.conn")
    given = secured.tokens.given

    def logins(how: str) -> int:
        return sum(each.message.startswith("Authenticated") and how in each.message for each in caplog.records)

    async with (
        loaded(secured.kafka("scram"), f"{topic_prefix}scram") as scram,
        loaded(secured.kafka("oauth"), f"{topic_prefix}oauth") as oauth,
    ):
        await until(lambda: scram.seen.total() > 0 and oauth.seen.total() > 0)
        first = {how: logins(how) for how in ("SCRAM", "OAUTH")}
        # The producer, the consumer and its coordinator have a connection each, and each is followed by two more.
        await until(lambda: all(logins(how) >= before + 6 for how, before in first.items()))
        await until(lambda: secured.tokens.given >= given + 2)
    for load in (scram, oauth):
        assert load.whole
    hung_up = sum("closed" in each.message for each in caplog.records)
    assert hung_up * 4 < logins(""), "a broker hangs up on what comes too late alone, on a machine that is very busy"
    # Tokens are kept while they are good, and no longer.
    assert 2 <= secured.tokens.given - given < logins("OAUTH") / 2


async def refusal(kafka: Kafka) -> str:
    with pytest.raises(Transient) as caught:
        async with asking(kafka):
            pass
    assert "hush" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, str]:
    """Files of an authority that the broker does not know."""
    other = Authority("other")
    pair = other.issue("ada")
    return {
        "ca_file": str(put(tmp_path / "other.crt", other.pem)),
        "certificate_file": str(put(tmp_path / "user.crt", pair.certificate)),
        "key_file": str(put(tmp_path / "user.key", pair.key)),
    }


async def test_a_broker_that_is_not_the_one_is_refused(secured: Estate, strange: dict[str, str]) -> None:
    ca = strange["ca_file"]
    told = await refusal(secured.kafka("scram", ca_file=ca))
    assert f"{HOST}:{secured.ports['scram']} cannot be reached: its certificate is signed by nobody in {ca}" in told
    told = await refusal(replace(secured.kafka("scram"), servers=f"localhost:{secured.ports['scram']}"))
    assert "its certificate is not for localhost: connect by a name that it holds" in told
    assert "has expired: renew it at the server" in await refusal(secured.kafka("expired"))


async def test_who_the_broker_refuses_is_told_why(secured: Estate, strange: dict[str, str], tmp_path: Path) -> None:
    own = {"certificate_file": strange["certificate_file"], "key_file": strange["key_file"]}
    assert f"(it was shown: {own['certificate_file']})" in await refusal(secured.kafka("tls", **own))
    assert "(it was shown: none)" in await refusal(secured.kafka("tls", certificate_file="", key_file=""))
    old = secured.authority.issue("ada", until=timedelta(hours=-1))
    certificate, key = put(tmp_path / "old.crt", old.certificate), put(tmp_path / "old.key", old.key)
    tls = Tls(ca=secured.folder / "ca.crt", certificate=certificate, key=key)
    assert f"{certificate}: the certificate expired on" in await refusal(replace(secured.kafka("tls"), tls=tls))
    told = await refusal(secured.kafka("scram", password="hush", password_file=""))
    assert "it refuses user ada (SCRAM-SHA-512): check SYNCLINE_KAFKA_USERNAME and SYNCLINE_KAFKA_PASSWORD" in told
    assert "it refuses user eve" in await refusal(secured.kafka("scram", username="eve"))
    assert "it does not take PLAIN" in await refusal(secured.kafka("scram", sasl_mechanism="PLAIN"))


async def test_a_port_for_something_else_is_told(secured: Estate) -> None:
    tls, scram = secured.kafka("tls"), secured.kafka("scram")
    plain = f"{HOST}:{secured.ports['tls']}"
    assert "check that this is a port for SSL" in await refusal(replace(tls, servers=secured.broker.address))
    assert "check that this is a port for PLAINTEXT" in await refusal(Kafka(servers=plain))
    assert "check that this is a port for SSL" in await refusal(replace(scram, login=None))
    assert "it asks for no login on this port" in await refusal(replace(tls, login=scram.login))


async def test_a_name_that_nobody_has_is_told(secured: Estate) -> None:
    told = await refusal(replace(secured.kafka("tls"), servers="nowhere.invalid:9093"))
    assert "name" in told.lower(), "in the system's own words"


async def test_tokens_that_cannot_be_had_or_are_refused_are_told(
    secured: Estate, strange: dict[str, str], tmp_path: Path
) -> None:
    told = await refusal(secured.kafka("oauth", oauth_client_secret="hush", oauth_client_secret_file=""))
    assert f"the token endpoint {secured.tokens.url} answered 401 invalid_client: check" in told
    assert "answered 400 invalid_scope" in await refusal(secured.kafka("oauth", oauth_scope="everything"))
    told = await refusal(secured.kafka("oauth", oauth_ca_file=strange["ca_file"]))
    assert f"its certificate is signed by nobody in {strange['ca_file']}" in told
    secured.tokens.audience, secured.tokens.life = "somebody else", 300
    kafka = secured.kafka("oauth")
    try:
        assert "it refuses the token: check issuer, audience and scope" in await refusal(kafka)
    finally:
        secured.tokens.audience, secured.tokens.life = "kafka", 4
    # What was refused is not kept until it ends.
    await patiently(lambda: in_and_out(kafka), "Kafka", stop=asyncio.Event(), rng=random.Random(1))
    without = dict.fromkeys(("oauth_token_url", "oauth_client_id", "oauth_client_secret_file", "oauth_scope"), "")
    token = put(tmp_path / "token", "hush.hush.hush")
    told = await refusal(secured.kafka("oauth", **without, oauth_ca_file="", oauth_token_file=str(token)))
    assert "it refuses the token" in told


async def in_and_out(kafka: Kafka) -> None:
    async with asking(kafka):
        pass


async def test_files_that_are_gone_for_a_moment_are_waited_for(secured: Estate) -> None:
    for way, name in (("scram", "password"), ("tls", "user.key"), ("oauth", "client-secret")):
        kafka, held = secured.kafka(way), (secured.folder / name).read_bytes()
        (secured.folder / name).unlink()
        assert f"cannot read {secured.folder / name}: No such file or directory" in await refusal(kafka)
        put(secured.folder / name, held)
        await in_and_out(kafka)


@pytest.mark.parametrize("way", ["tls", "scram", "oauth"])
async def test_stopping_does_not_wait_for_a_broker_that_froze(secured: Estate, topic_prefix: str, way: str) -> None:
    """Over TLS its word that the connection ends would be waited for."""
    topic, kafka = f"{topic_prefix}frozen", secured.kafka(way)
    await create_topics(kafka, [Topic(topic)], partitions=1, replication=1)
    member = new_consumer(kafka, group_id=topic)
    member.subscribe([topic])
    await member.start()
    producer = new_producer(kafka)
    await producer.start()
    os.kill(secured.broker.process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(15):
            await stop_member(member)
            await producer.stop()
    finally:
        os.kill(secured.broker.process.pid, signal.SIGCONT)


async def test_all_that_lets_one_in_is_replaced_under_load(
    secured: Estate, topic_prefix: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Certificates by another authority on both sides, a new password, a new client secret; then the broker is started
    anew, trusting only the new ones. Producers, consumers and the mapper's engine go on."""
    events = changes(900, seed=3)
    third = len(events) // 3
    async with (
        bench(secured.broker.address, topic_prefix, tmp_path) as run,
        loaded(secured.kafka("tls"), f"{topic_prefix}tls") as tls,
        loaded(secured.kafka("scram"), f"{topic_prefix}scram") as scram,
        loaded(secured.kafka("oauth"), f"{topic_prefix}oauth") as oauth,
    ):
        loads = (tls, scram, oauth)
        worker = await run.start(environ=secured.environ("scram"))
        await run.publish(events[:third])
        await until(lambda: all(each.seen.total() > 100 for each in loads))
        await worker.serving()

        await secured.set_password("hush-second")
        put(secured.folder / "password", secured.password)
        secured.tokens.secret = "hush-another"
        put(secured.folder / "client-secret", secured.tokens.secret)
        secured.issue(Authority("theirs"))
        await run.publish(events[third : 2 * third])
        before = [each.sent for each in loads]
        refused = secured.tokens.refused
        await secured.broker.process.kill()
        await secured.broker.process.start()

        await patiently(lambda: run.publish(events[2 * third :]), "Kafka", stop=asyncio.Event(), rng=random.Random(1))
        goal = [each + 200 for each in before]
        await until(lambda: all(each.sent > wanted for each, wanted in zip(loads, goal, strict=True)))
        await run.drained()
        assert worker.process.returncode is None, worker.log.read_text()
        assert await run.joined() == expected_joined(events)
        assert await run.tables() == expected_tables(events)
        assert await worker.stop() == 0
    assert secured.tokens.refused == refused
    for each in loads:
        assert each.seen.keys() == set(range(each.sent))
    again = sum(count - 1 for each in loads for count in each.seen.values())
    record_property("rotated under load", f"{sum(each.sent for each in loads)} messages, 0 lost, {again} came again")
