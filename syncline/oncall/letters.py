"""Dead letters as a person sees them: which are meant, which are about the same input, and where a retry goes."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from syncline.contracts.deadletter import DeadLetter, Stage
from syncline.contracts.errors import Malformed
from syncline.contracts.ref import Ref
from syncline.contracts.request import Request
from syncline.runtime.kafka import Message, Placed
from syncline.state.letters import Mark
from syncline.timeline.asked import Unknown

ID = re.compile(r"(?:.+/)?(\d+)/(\d+)")


class Place(NamedTuple):
    """Where a message lies."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, position: str) -> Place | None:
        """None for a position in a source's own words."""
        topic, _, rest = position.rpartition("/")
        topic, _, partition = topic.rpartition("/")
        if not topic or "/" in topic or not (partition.isdecimal() and rest.isdecimal()):
            return None
        return cls(topic, int(partition), int(rest))


@dataclass(frozen=True, slots=True)
class Found:
    """mark: what was decided, None while nothing was. times: so many letters say the same, this is the newest."""

    partition: int
    offset: int
    written: datetime
    letter: DeadLetter
    mark: Mark | None = None
    times: int = 1

    @property
    def id(self) -> str:
        """What a person calls it by."""
        return f"{self.partition}/{self.offset}"

    @property
    def input(self) -> bytes:
        """Names the refused input: a service that is killed and starts again refuses it again."""
        letter = self.letter
        named = "\0".join((letter.stage, letter.position, letter.pipeline or "", letter.ref or ""))
        return blake2b(named.encode(), digest_size=16).digest()


def parse_id(text: str) -> tuple[int, int]:
    """The partition and offset in `3/17`, or in `syncline.dead-letters/3/17`. Raises Unknown."""
    if found := ID.fullmatch(text):
        return int(found[1]), int(found[2])
    raise Unknown(f"{text!r} is no dead letter: `syncline dead-letters list` names each as partition/offset, like 3/17")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; None leaves that open. refs: any of these records. position: the input's whole
    `topic/partition/offset`, or the beginning of it up to a slash."""

    refs: Collection[Ref] | None = None
    pipeline: str | None = None
    code: str | None = None
    stage: Stage | None = None
    position: str | None = None

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (self.refs is None or any(letter.ref == str(ref) for ref in self.refs))
            and self.pipeline in (None, letter.pipeline)
            and self.code in (None, letter.code)
            and self.stage in (None, letter.stage)
            and (self.position is None or f"{letter.position}/".startswith(f"{self.position.rstrip('/')}/"))
        )


class Newest:
    """The newest letters, one for each input, and how many there are of each kind; holds no more than twice `most`
    of them, and none of their inputs, however many come."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[bytes, Found] = {}
        self.counts: Counter[tuple[Stage, str, str | None]] = Counter()

    def add(self, letters: Iterable[Found]) -> None:
        for found in letters:
            letter = found.letter
            self.counts[letter.stage, letter.code, letter.pipeline] += 1
            before = self._found.get(found.input)
            again = replace(found, letter=replace(letter, input=None), times=before.times + 1 if before else 1)
            self._found[found.input] = again
        if len(self._found) > 2 * self._most:
            self._found = {each.input: each for each in self.shown}

    @property
    def shown(self) -> list[Found]:
        return heapq.nlargest(self._most, self._found.values(), key=lambda each: (each.written, each.offset))


class Original(NamedTuple):
    """The refused message itself, as it still lies on its topic; what of aiokafka's ConsumerRecord is needed."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def reads_again(letter: DeadLetter) -> bool:
    """Whether the input has to be read from where it came from, for its key and headers. A command says all itself."""
    return not (letter.stage == "writer" and letter.input is not None)


def sent_again(letter: DeadLetter, place: Place | None, original: Original | None, requests: str) -> Placed | Message:
    """What a retry sends: the input to just where it came from; where no topic has it, a request that the poller read
    the record again. place: of the input, None when there is no such topic (any more). Raises Unknown when nothing
    can be sent."""
    if place and not reads_again(letter):
        key = original.key if original else letter.ref.encode() if letter.ref else None
        return Placed(place.topic, place.partition, key, letter.input)
    if place and original and letter.input in (None, original.value):
        return Placed(place.topic, place.partition, original.key, original.value, original.headers)
    if letter.ref:
        try:
            ref = Ref.parse(letter.ref)
        except Malformed as error:
            raise Unknown(f"{error}: drop this letter") from error
        request = Request(ref=ref, reason=f"a person retries what the {letter.stage} refused: {letter.code}")
        return Message(requests, str(ref).encode(), request.encode())
    raise Unknown(
        f"its input is no longer at {letter.position}, and no record is named: have its sender send it again, "
        "then drop this letter"
    )
