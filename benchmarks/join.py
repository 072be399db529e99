"""The mapper's second hop beside its peers: one topic, one broker, one machine, one after the other."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from benchmarks.hops import Hops
from benchmarks.stage import Bench, Wave, logged, require
from benchmarks.toolbox import java, quix_python
from benchmarks.workload import ACCOUNT, CONTACT, NAME, changes, org, results
from services.poller.events import messages
from syncline.contracts.errors import Fatal
from syncline.contracts.topics import Names, Topic, topics
from syncline.local.machine import Say, make_dir
from syncline.local.processes import Child
from syncline.runtime.admin import create_topics
from syncline.runtime.kafka import Message

ROOT = Path(__file__).parents[1]
OURS = "syncline"
PEERS = ("quix", "kafka_streams", "stock_faust", "raw_aiokafka")


@dataclass
class Rates:
    """Records/s. `ours` are several runs, one before each peer and one after the last; `missing` cannot run here."""

    ours: list[float] = field(default_factory=list)
    found: dict[str, float] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)
    """Ours just before and just after the peer: the machine may be busier at one time than at another."""
    missing: dict[str, str] = field(default_factory=dict)
    whole: list[tuple[Wave, ...]] = field(default_factory=list)
    """Both hops, just before and just after the first peer."""


async def compare(bench: Bench, records: int, whole: Callable[[], Awaitable[tuple[Wave, ...]]], say: Say) -> Rates:
    """Every program over the same `records`, from its first record to the broker's last command; each command of each
    program must be the one that the hop makes of it by itself. Raises Fatal otherwise."""
    inputs, expected = load(bench, records)
    source = f"{bench.system.names.prefix}.join"
    await _create(bench, [Topic(source)])
    await bench.publish(inputs)
    del inputs
    rates = Rates()
    mine = [sys.executable, "-m", f"benchmarks.peers.{OURS}"]
    await _rate(bench, OURS, 0, mine, expected, say)  # the broker, too, is quicker once it has compiled itself
    rates.ours.append(await _rate(bench, OURS, len(PEERS) + 1, mine, expected, say))
    for turn, peer in enumerate(PEERS, start=1):
        try:
            argv = await _command(peer, make_dir(bench.system.folder / peer), say)
        except Fatal as error:
            rates.missing[peer] = str(error)
            continue
        if not rates.whole:
            rates.whole.append(await whole())
        rates.found[peer] = await _rate(bench, peer, turn, argv, expected, say)
        if len(rates.whole) == 1:
            rates.whole.append(await whole())
        rates.ours.append(await _rate(bench, OURS, turn, mine, expected, say))
        rates.beside[peer] = sum(rates.ours[-2:]) / 2
    return rates


async def _rate(bench: Bench, name: str, turn: int, argv: list[str], expected: Counter[bytes], say: Say) -> float:
    """Records/s of one run of a program."""
    say(f"  {name}")
    prefix = bench.system.names.prefix
    folder = make_dir(bench.system.folder / f"{name}-{turn}")
    names = Names(f"{prefix}.{name}{turn}")
    output = names.commands("hub")
    # Ours names its own topics; the others' frameworks make their changelogs themselves.
    await _create(bench, topics(names, [], ["hub"]) if name == OURS else [Topic(output)])
    await bench.settled()
    child = Child(name, [*argv, bench.kafka, f"{prefix}.join", output, str(folder / "state")], folder, cwd=ROOT)
    await child.start()
    try:
        ended = await bench.reached(child, {output: expected.total()})
    finally:
        await child.stop()
    found = Counter[bytes]()
    async for record in bench.stream(output):
        found[digest(record.key, record.value)] += 1
    require(found == expected, f"{name}: {(expected - found).total()} of {expected.total()} commands differ")
    await bench.delete(names.prefix)
    shutil.rmtree(folder / "state", ignore_errors=True)
    records = sum((await bench.ends([f"{prefix}.join"])).values())
    return records / (ended - logged(child, "serving"))


def load(bench: Bench, records: int) -> tuple[list[Message], Counter[bytes]]:
    """A fifth Contacts whose Accounts are not synced yet, a tenth results that say they are, then other Contacts.

    Returns what lies on the topic, and the digests of the commands that must come of it.
    """
    config, names = bench.system.config, bench.system.names
    count, early = records // 10, records // 5
    rows = org(count, records - count, name=NAME)
    random.Random(7).shuffle(rows["Contact"])
    synced = [
        Message(names.results, str(result.source).encode(), result.encode())
        for result in results(changes(config, ACCOUNT, rows["Account"]))
    ]
    hops = Hops(config, names)
    mapped = hops.first(messages(changes(config, CONTACT, rows["Contact"]), names))
    inputs = [*mapped[:early], *synced, *mapped[early:]]
    made = hops.run(inputs)
    commands = Counter(digest(each.key, each.value) for each in made if each.topic == names.commands("hub"))
    require(commands.total() == len(mapped), f"{len(mapped)} Contacts make {commands.total()} commands")
    return [Message(f"{names.prefix}.join", each.key, each.value) for each in inputs], commands


def digest(key: bytes, value: bytes) -> bytes:
    """A million commands would be a gigabyte."""
    return blake2b(b"%b\0%b" % (key, value), digest_size=16).digest()


async def _command(name: str, folder: Path, say: Say) -> list[str]:
    """Raises Fatal when the program cannot run here."""
    if name == "kafka_streams":
        return await java(ROOT / "benchmarks" / "peers" / "StreamsJoin.java", folder, say)
    python = str(await quix_python(say)) if name == "quix" else sys.executable
    return [python, "-m", f"benchmarks.peers.{name}"]


async def _create(bench: Bench, wanted: list[Topic]) -> None:
    await create_topics(bench.kafka, wanted, partitions=bench.system.partitions, replication=1)
