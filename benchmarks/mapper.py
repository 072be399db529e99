"""The mapper: changes through both hops, with children that are held, released, and let through."""

from __future__ import annotations

from collections import Counter
from uuid import UUID, uuid5

from benchmarks.hops import Hops
from benchmarks.stage import Bench, Figures, require
from benchmarks.workload import ACCOUNT, CONTACT, changes, edited, org
from services.mapper.join import HELD
from services.poller.events import messages
from syncline.contracts.change import Change
from syncline.contracts.command import Command
from syncline.contracts.ref import Object, Ref
from syncline.contracts.result import Result
from syncline.runtime.kafka import Message

COMPANY = Object("hub", "company")
SPACE = UUID("6f1d3c52-7a0e-4c55-8f43-0d6b2f0c9a11")
"""Namespace from which the made-up companies' ids come."""


async def mapper(bench: Bench, records: int) -> Figures:
    """`records` changes: a tenth Accounts; nearly half Contacts that come before any Account is synced; the rest
    the same Contacts once more, when all are. In between the Accounts' results come, as the writer sends them."""
    config, names = bench.system.config, bench.system.names
    count = records // 10
    rows = org(count, -(-(records - count) // 2))
    accounts, contacts = changes(config, ACCOUNT, rows["Account"]), changes(config, CONTACT, rows["Contact"])
    later = edited(contacts)[: records - count - len(contacts)]
    hops, commands, held = Hops(config, names), names.commands("hub"), names.changelog(HELD)

    waiting = messages([*contacts, *accounts], names)
    expected = Counter(hops.run(waiting))
    topics = Counter(message.topic for message in expected.elements())
    await bench.publish(waiting)
    # Nothing is released yet, so the changelog has had one record for each row that is held.
    until = {**topics, held: len(hops.tables[HELD])}
    hold = await bench.wave("hold", len(waiting), "mapper", "serving", until)

    synced = _results(accounts, names.results)
    made = hops.run(synced)
    expected.update(made)
    await bench.publish(synced)
    release = await bench.wave("release", len(made), "mapper", "serving", {commands: topics[commands] + len(made)})

    direct = messages(later, names)
    made = hops.run(direct)
    expected.update(made)
    topics = Counter(message.topic for message in expected.elements())
    await bench.publish(direct)
    through = await bench.wave("let through", len(direct), "mapper", "serving", {commands: topics[commands]})

    found = Counter(Message(record.topic, record.key, record.value) for record in await bench.read(commands))
    wanted = Counter({message: count for message, count in expected.items() if message.topic == commands})
    require(found == wanted, f"{(wanted - found).total()} of {wanted.total()} commands are missing or differ")
    written = Counter(_source(Command.decode(message.value)) for message in found if _creates(message))
    require(
        written == Counter((change.ref, change.version) for change in [*accounts, *contacts, *later]),
        "not one command for each change",
    )
    left = {record.key: record.value for record in sorted(await bench.read(held), key=lambda each: each.offset)}
    require(not any(left.values()), f"{sum(map(bool, left.values()))} rows are still held")
    bare = await bench.bare([names.changes(ACCOUNT), names.changes(CONTACT)])
    return Figures(records, (hold, release, through), bare)


def _results(accounts: list[Change], topic: str) -> list[Message]:
    """What the writer says once it has made a company of each."""
    results = [
        Result(
            pipeline="account-to-company",
            outcome="written",
            source=account.ref,
            target=Ref(*COMPANY, str(uuid5(SPACE, account.ref.id))),
            version=account.version,
            created=True,
        )
        for account in accounts
    ]
    return [Message(topic, key, result.encode()) for result in results for key in result.message_keys()]


def _creates(message: Message) -> bool:
    return Command.decode(message.value).creates


def _source(command: Command) -> tuple[Ref, str]:
    return command.source, command.version
