"""The writer: commands into the hub, each record linked; companies and customers are made, then patched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.hops import Hops
from benchmarks.stage import Bench, Figures, Wave, require
from benchmarks.workload import ACCOUNT, CONTACT, changes, edited, org
from services.poller.events import messages
from syncline.config.model import PostgresSystem
from syncline.contracts.command import Command
from syncline.contracts.ref import Fields, Object
from syncline.contracts.result import Result
from syncline.hub.records import record_query
from syncline.hub.tables import describe
from syncline.local.machine import Say
from syncline.runtime.kafka import Message
from syncline.state.database import connect

Outcome = tuple[str, str, bool, frozenset[str]]
"""Record, version, whether it was created, the fields that were sent."""


async def writer(bench: Bench, records: int, say: Say) -> Figures:
    """`records` commands: a fifth makes companies, two fifths customers of theirs, the rest patches one field each:
    what a link costs, then what reading a record before it is overwritten costs.

    The default makes only full passes of the writer; before one that is not full it would wait for more.
    """
    config, names = bench.system.config, bench.system.names
    rows = org(records // 5, 2 * records // 5)
    accounts, contacts = changes(config, ACCOUNT, rows["Account"]), changes(config, CONTACT, rows["Contact"])
    hops, topic = Hops(config, names), names.commands("hub")
    sent: list[Command] = []
    waves: list[Wave] = []

    async def wave(name: str, commands: Sequence[Message]) -> None:
        sent.extend(Command.decode(command.value) for command in commands)
        await bench.publish(commands)
        until = {names.results: 2 * len(sent), names.dead_letters: 0}
        waves.append(await bench.wave(name, len(commands), "writer", "assigned", until))

    companies = hops.run(messages(accounts, names))
    await wave("make companies", [each for each in companies if each.topic == topic])
    # The Accounts' parents are known now; the companies' own are patched in the last wave.
    references = hops.run(Message(names.results, each.key, each.value) for each in await bench.read(names.results))
    await wave("make customers", hops.run(messages(contacts, names)))
    later = edited(contacts)[: records - len(sent) - len(references)]
    await wave("patch", [*references, *hops.run(messages(later, names))])

    results = [(record.key, Result.decode(record.value)) for record in await bench.read(names.results)]
    found = Counter(_outcome(result) for key, result in results if key == str(result.source).encode())
    require({result.outcome for _, result in results} == {"written"}, "not every command was written")
    created = len(accounts) + len(contacts)
    expected = Counter(_expected(command, new=at < created) for at, command in enumerate(sent))
    require(found == expected, f"{(expected - found).total()} of {len(sent)} commands have not the right result")
    await _check_hub(bench, sent)
    return Figures("writer", len(sent), tuple(waves), await bench.bare([topic]))


def _outcome(result: Result) -> Outcome:
    return str(result.source), result.version, result.created, frozenset(result.written)


def _expected(command: Command, *, new: bool) -> Outcome:
    """A new record takes all that is not empty, an edit only the last name, a reference only itself."""
    if new:
        fields = {field for field, value in command.fields.items() if value is not None}
    else:
        fields = {"last_name"} if command.creates else set(command.fields)
    return str(command.source), command.version, new, frozenset(fields)


async def _check_hub(bench: Bench, sent: Sequence[Command]) -> None:
    """The hub holds what the commands say together, and each record is linked."""
    expected: dict[tuple[Object, str], Fields] = {}
    for command in sent:
        expected.setdefault((command.target, command.source.id), {}).update(command.fields)
    hub = bench.system.config.systems["hub"]
    assert isinstance(hub, PostgresSystem)
    found: dict[tuple[Object, str], Fields] = {}
    async with connect(bench.system.hub_url, application="bench", size=1) as pool:
        for name, described in hub.objects.items():
            kind = Object("hub", name)
            mark = described.counterpart["salesforce"]
            fields = {field for (each, _), filled in expected.items() if each == kind for field in filled}
            query = record_query(described, await describe(pool, described), fields | {mark})
            for _, *values in map(tuple, await pool.fetch(query.select)):
                row = dict(zip(query.fields, values, strict=True))
                wanted = expected.get((kind, row[mark]), {})
                found[kind, row[mark]] = {field: row[field] for field in wanted}
    require(found == expected, f"the hub's {len(found)} records are not the {len(expected)} that were sent")
    async with connect(bench.system.state_url, application="bench", size=1) as pool:
        links = await pool.fetchval("SELECT count(*) FROM syncline.links")
    require(links == len(expected), f"{links} links for {len(expected)} records")
