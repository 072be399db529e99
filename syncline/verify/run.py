"""The order of a comparison: all by checksum, what differs field by field, that again once what was under way is over,
then the reasons; and the same again for what was repaired."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from syncline.config.model import Config, StreamSystem
from syncline.config.settings import Settings
from syncline.contracts.errors import Fatal
from syncline.contracts.ref import Object, Ref
from syncline.contracts.request import Request
from syncline.runtime.kafka import Message, publisher
from syncline.runtime.lag import worked_off
from syncline.state.cursors import Cursors
from syncline.state.database import check_migrated, connect
from syncline.state.links import Links
from syncline.timeline.read import check
from syncline.verify import reasons, repair
from syncline.verify.facts import Gathering
from syncline.verify.look import Finding, Looks, Progress
from syncline.verify.pairing import pairings
from syncline.verify.reasons import Difference, Facts
from syncline.verify.repair import Wanted
from syncline.verify.report import LISTED, Report
from syncline.verify.sides import Reader, open_systems

Key = tuple[Ref, Object]


async def verify(
    settings: Settings, config: Config, *, only: Collection[Object], mend: bool, wait: float, progress: Progress
) -> Report:
    """only: these objects and those that they are paired with; none is all. wait: seconds that what is under way has to
    arrive, and what was repaired has once more. Raises Transient, Fatal."""
    began, at = time.monotonic(), datetime.now(UTC)
    if unknown := set(only) - {side for each in config.pipelines.values() for side in (each.from_, each.to)}:
        raise Fatal(f"no pipeline has {', '.join(f'{kind.system}.{kind.name}' for kind in sorted(unknown))}")
    await check(settings, config)
    forms: dict[Object, Reader] = {}
    chosen = pairings(config, lambda kind, field, value: forms[kind].form(field, value), only)
    kinds = sorted({kind for pairing in chosen for kind in (pairing.a, pairing.b)})
    if not kinds:
        raise Fatal("nothing can be compared: all that is meant is sent by systems that cannot be read")
    url = settings.database_url
    async with connect(url, application="syncline-verify", size=2) as pool:
        await check_migrated(pool)
        async with open_systems(config, kinds, rng=random.SystemRandom()) as systems:
            forms |= systems.readers
            report = Report(at, unread=_only_sent(config))
            links = Links(pool)
            looks = Looks(chosen, systems.readers, links, Cursors(pool), report, progress)
            gathering = Gathering(settings, pool, list(config.pipelines))
            run = _Run(settings, config, looks, links, gathering, report)
            await run.compare(wait)
            if mend:
                await run.mend(wait)
            run.conclude()
            report.calls = systems.calls
    report.seconds = time.monotonic() - began
    return report


@dataclass
class _Judged:
    """A finding and what it comes to. steady: two looks found the same, with all that was under way done in between."""

    finding: Finding
    differences: Sequence[Difference]
    steady: bool

    @property
    def drifted(self) -> bool:
        return any(each.reason == "drift" and each.what != "mark" for each in self.differences)


class _Run:
    def __init__(
        self, settings: Settings, config: Config, looks: Looks, links: Links, gathering: Gathering, report: Report
    ) -> None:
        self._settings = settings
        self._config = config
        self._looks = looks
        self._links = links
        self._gathering = gathering
        self._report = report
        self._judged: dict[Key, _Judged] = {}

    async def compare(self, wait: float) -> None:
        until = time.monotonic() + wait
        async for finding in self._looks.whole():
            if len(self._judged) < LISTED:
                self._judged[finding.key] = self._judge(finding, Facts(), steady=False)
            else:
                self._report.unlisted += 1
        await self._settle(list(self._judged), until)

    async def mend(self, wait: float) -> None:
        """Ask for what drifted, and look at it until it is equal, or something else than drift is to be said of it."""
        before = {key: judged for key, judged in self._judged.items() if judged.drifted}
        if not before:
            return
        wanted = Wanted()
        for judged in before.values():
            wanted.add(_wanted(judged))
        forgotten = list(wanted.forgotten.values())
        await self._links.save(forgotten)  # one that was changed meanwhile is under way, and looked at again
        await self._ask(wanted)
        self._judged |= {key: replace(judged, steady=False) for key, judged in before.items()}
        until = time.monotonic() + wait
        pending = list(before)
        while pending and await self._look_again(pending, until):
            pending = [key for key in pending if (now := self._judged.get(key)) and (now.drifted or not now.steady)]
        for key, judged in before.items():
            after = self._judged.get(key)
            left = {(each.what, each.pipeline, each.field) for each in after.differences} if after else set()
            self._report.repaired += [
                each
                for each in judged.differences
                if each.reason == "drift" and (each.what, each.pipeline, each.field) not in left
            ]

    def conclude(self) -> None:
        for judged in self._judged.values():
            self._report.differences += judged.differences
            if why := judged.finding.left_out:
                self._report.objects[str(judged.finding.ref.kind)].left_out[why] += 1

    async def _settle(self, keys: Iterable[Key], until: float) -> None:
        pending = list(keys)
        while pending and await self._look_again(pending, until):
            pending = [key for key in pending if key in self._judged and not self._judged[key].steady]

    async def _look_again(self, keys: Collection[Key], until: float) -> bool:
        """Once all is worked off that was under way. False when that takes longer than `until`."""
        self._looks.progress("what differs, once what is under way is through:", len(keys))
        if not await self._worked_off(keys, until):
            return False
        self._report.looks += 1
        before = {key: self._judged.pop(key) for key in keys if key in self._judged}
        found = await self._looks.again([(each.finding.pairing, each.finding.ref) for each in before.values()])
        facts = await self._gathering.facts({ref for finding in found for ref in _about(finding)})
        for finding in found:
            earlier = before.get(finding.key)
            alike = earlier is not None and finding.like(earlier.finding)
            judged = self._judge(finding, facts, steady=alike)
            waits = any(each.reason == "in flight" for each in judged.differences)
            self._judged[finding.key] = replace(judged, steady=alike and not waits)
        return True

    async def _worked_off(self, keys: Collection[Key], until: float) -> bool:
        kinds = {kind for ref, other in keys for kind in (ref.kind, other)}
        settling = max(self._looks.readers[kind].settling for kind in kinds)
        if time.monotonic() + settling > until:
            return False
        await asyncio.sleep(settling)
        names, config = self._settings.names, self._config
        commands = [names.commands(system) for system in config.targets]
        return await worked_off(
            self._settings.kafka,
            [
                (names.poller, [names.requests]),
                (names.mapper, [*map(names.changes, config.sources), names.replay]),
                # A parent that is written releases its children, and a record its references.
                *2 * [(names.mapper, [names.mapped]), (names.writer, commands), (names.mapper, [names.results])],
            ],
            partitions=self._settings.partitions,
            within=until - time.monotonic(),
        )

    def _judge(self, finding: Finding, facts: Facts, *, steady: bool) -> _Judged:
        return _Judged(finding, differences(finding, facts, self._expired(finding), steady=steady), steady)

    def _expired(self, finding: Finding) -> bool:
        return finding.row is not None and self._looks.readers[finding.ref.kind].expired(finding.row)

    async def _ask(self, wanted: Wanted) -> None:
        why = "syncline verify found that it changed unseen"
        requests = [Request(ref=ref, reason=why, known=known) for ref, known in wanted.asked.items()]
        async with publisher(self._settings.kafka, "syncline-verify") as publishing:
            await publishing.publish(
                Message(self._settings.names.requests, str(each.ref).encode(), each.encode()) for each in requests
            )


def differences(finding: Finding, facts: Facts, old: bool, *, steady: bool) -> list[Difference]:
    """What a finding comes to, pure. What is not steady may be a change on its way."""
    pairing, moving = finding.pairing, finding.moving or not steady
    if finding.left_out:
        return []
    if finding.pair is None:
        return [reasons.of_missing(pairing, finding.ref, finding.pipeline, facts, moving=moving, old=old)]
    link = finding.pair.link
    if finding.gone:
        return [reasons.of_gone(pairing, link, finding.gone, facts, moving=moving)]
    return [
        *(reasons.of_field(pairing, link, each, facts, moving=moving) for each in finding.mismatches),
        *(reasons.of_mark(ref, partner, held) for ref, partner, held in finding.marks),
    ]


def _wanted(judged: _Judged) -> Wanted:
    finding = judged.finding
    if finding.pair is None:
        return repair.of_missing(finding.ref)
    if finding.gone:
        return repair.of_gone(finding.pair.link, finding.gone)
    of_fields = [each for each in judged.differences if each.what == "field"]
    pairs = zip(finding.mismatches, of_fields, strict=True)
    drift = [mismatch for mismatch, difference in pairs if difference.reason == "drift"]
    return repair.of_pair(finding.pairing, finding.pair, drift)


def _about(finding: Finding) -> list[Ref]:
    if finding.pair is None:
        return [finding.ref]
    return [finding.pair.link.source.ref, finding.pair.link.target.ref]


def _only_sent(config: Config) -> list[str]:
    return [str(kind) for kind in config.sources if isinstance(config.systems[kind.system], StreamSystem)]
