"""The mapper: its second hop beside its peers, and both hops as they ship, over changes as they come from a poll."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.hops import Hops
from benchmarks.join import PEERS, Rates, compare
from benchmarks.stage import Bench, Row, Wave, opened, require
from benchmarks.workload import ACCOUNT, CONTACT, NAME, changes, edited, org, results
from services.mapper.join import HELD
from services.poller.events import messages
from syncline.contracts.command import Command
from syncline.contracts.ref import Ref
from syncline.local.machine import Say
from syncline.local.system import system
from syncline.runtime.kafka import Message


@dataclass(frozen=True)
class Comparison:
    """join: the second hop alone, the peers, and `whole`, both hops over as many records."""

    records: int
    join: Rates

    @property
    def rates(self) -> dict[str, float]:
        return {"join": median(self.join.ours), "whole": self.records / sum(wave.seconds for wave in self.waves)}

    @property
    def waves(self) -> list[Wave]:
        """Of `whole`, each by its mean time."""
        return [
            replace(runs[0], seconds=fmean(wave.seconds for wave in runs), peak_mb=max(wave.peak_mb for wave in runs))
            for runs in zip(*self.join.whole, strict=True)
        ]

    def ratios(self, peer: str) -> dict[str, float]:
        """The join by the runs next to the peer's."""
        theirs = self.join.found[peer]
        return {
            "join": round(self.join.beside[peer] / theirs, 3),
            "whole": round(self.rates["whole"] / theirs, 3),
        }

    def document(self) -> dict[str, Any]:
        """A peer does the join only: `whole` is how both hops compare with a peer that does one."""
        ratios = {peer: self.ratios(peer) if peer in self.join.found else None for peer in PEERS}
        rates = {**self.rates, **{peer: self.join.found.get(peer) for peer in PEERS}}
        return {
            **ratios,
            "records": self.records,
            "records_per_second": {name: rate and round(rate) for name, rate in rates.items()},
            "beside_peers": {peer: round(rate) for peer, rate in self.join.beside.items()},
            "waves": {wave.name: round(wave.rate) for wave in self.waves},
            "missing": self.join.missing,
        }

    def rows(self) -> Iterator[Row]:
        for name, rate in self.rates.items():
            yield Row(f"mapper, {name}", f"{self.records:,}", f"{rate:,.0f}")
            for peer in PEERS:
                if theirs := self.join.found.get(peer):
                    yield Row(f"  {peer}", "", f"{theirs:,.0f}", f"{self.ratios(peer)[name]:.2f}")
                else:
                    yield Row(f"  {peer}", "", self.join.missing[peer])


async def mapper(bench: Bench, records: int, say: Say) -> Comparison:
    async def again() -> tuple[Wave, ...]:
        say("  both hops")
        name = f"whole{secrets.token_hex(2)}"
        async with (
            system(
                bench.system.folder / name,
                kafka_address=bench.kafka,
                database_url=bench.system.stack.database_url,
                prefix=f"{bench.system.names.prefix}{name}",
                pipelines=Path(bench.system.environ["SYNCLINE_PIPELINES"]),
            ) as running,
            opened(running) as own,
        ):
            return await whole(own, records)

    return Comparison(records, await compare(bench, records, again, say))


async def whole(bench: Bench, records: int) -> tuple[Wave, ...]:
    """As many `records` as the join has, in the same order: a fifth Contacts whose Accounts are not synced yet, here
    with these Accounts, a tenth; a tenth results that say they are, as the writer sends them; then other Contacts, and
    the first fifth once more, edited."""
    config, names = bench.system.config, bench.system.names
    count, early = records // 10, records // 5
    rows = org(count, records - 2 * count - early, name=NAME)
    accounts, contacts = changes(config, ACCOUNT, rows["Account"]), changes(config, CONTACT, rows["Contact"])
    later = [*contacts[early:], *edited(contacts[:early])]
    hops, commands, held = Hops(config, names), names.commands("hub"), names.changelog(HELD)

    waiting = messages([*contacts[:early], *accounts], names)
    expected = Counter(hops.run(waiting))
    topics = Counter(message.topic for message in expected.elements())
    await bench.publish(waiting)
    # Nothing is released yet, so the changelog has had one record for each row that is held.
    until = {**topics, held: len(hops.tables[HELD])}
    hold = await bench.wave("hold", len(waiting), "mapper", "serving", until)

    synced = [
        Message(names.results, key, result.encode()) for result in results(accounts) for key in result.message_keys()
    ]
    made = hops.run(synced)
    expected.update(made)
    await bench.publish(synced)
    release = await bench.wave("release", len(accounts), "mapper", "serving", {commands: topics[commands] + len(made)})

    direct = messages(later, names)
    expected.update(hops.run(direct))
    topics = Counter(message.topic for message in expected.elements())
    await bench.publish(direct)
    through = await bench.wave("let through", len(direct), "mapper", "serving", {commands: topics[commands]})

    found = Counter(Message(record.topic, record.key, record.value) for record in await bench.read(commands))
    wanted = Counter({message: count for message, count in expected.items() if message.topic == commands})
    require(found == wanted, f"{(wanted - found).total()} of {wanted.total()} commands are missing or differ")
    written = Counter(_source(message) for message in found if Command.decode(message.value).creates)
    require(
        written == Counter((change.ref, change.version) for change in [*accounts, *contacts, *later[-early:]]),
        "not one command for each change",
    )
    left = {record.key: record.value for record in sorted(await bench.read(held), key=lambda each: each.offset)}
    require(not any(left.values()), f"{sum(map(bool, left.values()))} rows are still held")
    return hold, release, through


def _source(message: Message) -> tuple[Ref, str]:
    command = Command.decode(message.value)
    return command.source, command.version
