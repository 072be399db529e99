"""Who serves which partition, and who follows it so as to take over: by partition numbers, without Kafka and Faust.

A partition moves to a member that holds its tables whole, or stays where it is: moved to one that does not, it would
stand still until that one has read the changelog. A member that has less than its share follows first what it is to
serve, and once it holds that whole the group divides again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Numbers = frozenset[int]
Serving = dict[str, set[int]]


@dataclass(frozen=True, slots=True)
class Member:
    """What one had until now. `whole`: of these, the partitions whose tables it has up to the end, or nearly so."""

    serves: Numbers = frozenset()
    follows: Numbers = frozenset()
    whole: Numbers = frozenset()


@dataclass(frozen=True, slots=True)
class Share:
    """What one has from now on."""

    serves: Numbers
    follows: Numbers


def divide(members: Mapping[str, Member], *, partitions: int, standbys: int) -> dict[str, Share]:
    """Each partition to one member that serves it, and to `standbys` others that follow it, as far as there are.

    There are more followers for a while: a member that is to serve the partition next, and the only one that has its
    tables whole. The same members always get the same shares.
    """
    owner = _owners(members, partitions)
    _balance(owner, members)
    followers = _followers(owner, members, standbys)
    _prepare(owner, followers, members)
    return {
        name: Share(
            frozenset(number for number, each in owner.items() if each == name),
            frozenset(number for number, names in followers.items() if name in names),
        )
        for name in members
    }


def ripe(me: str, serving: Mapping[str, Numbers], follows: Numbers, whole: Numbers) -> Numbers:
    """What `me` would serve if the group divided again: empty while any of it is not whole yet, so that one division
    moves all. `serving`: member to what it serves."""
    wanted = {
        number
        for name, numbers in serving.items()
        if len(numbers) - len(serving[me]) > 1
        for number in numbers & follows
    }
    return frozenset(wanted) if wanted <= whole else frozenset()


def _owners(members: Mapping[str, Member], partitions: int) -> dict[int, str]:
    """Who serves a partition goes on with it, unless another alone has it whole."""

    def rank(number: int, name: str) -> int:
        member = members[name]
        return 4 * (number not in member.whole) + 2 * (number not in member.serves) + (number not in member.follows)

    best = {number: min(rank(number, name) for name in members) for number in range(partitions)}
    serving: Serving = {name: set() for name in members}
    for number in sorted(best, key=lambda number: (best[number], number)):  # what nobody has goes where room is left
        candidates = [name for name in members if rank(number, name) == best[number]]
        serving[min(candidates, key=lambda name: (len(serving[name]), name))].add(number)
    return {number: name for name, numbers in serving.items() for number in sorted(numbers)}


def _uneven(owner: Mapping[int, str], members: Mapping[str, Member]) -> Iterator[tuple[int, str]]:
    """Moves that would make the shares more even, of whoever has most to whoever has least first."""
    serving: Serving = {name: set() for name in members}
    for number, name in owner.items():
        serving[name].add(number)
    by_load = sorted(serving, key=lambda name: (len(serving[name]), name))
    for giver in reversed(by_load):
        for taker in by_load:
            if len(serving[giver]) - len(serving[taker]) < 2:
                break
            yield from ((number, taker) for number in sorted(serving[giver]))


def _balance(owner: dict[int, str], members: Mapping[str, Member]) -> None:
    """Move what can be moved at once: to one that has it whole, or what nobody has."""
    somewhere = frozenset[int]().union(*(member.whole for member in members.values()))
    while move := next(
        ((n, to) for n, to in _uneven(owner, members) if n in members[to].whole or n not in somewhere), None
    ):
        owner[move[0]] = move[1]


def _followers(owner: Mapping[int, str], members: Mapping[str, Member], standbys: int) -> dict[int, set[str]]:
    followers: dict[int, set[str]] = {}
    load = dict.fromkeys(members, 0)
    room = -(-len(owner) * standbys // len(members))
    for number, serves in owner.items():
        others = sorted(
            members.keys() - {serves},
            key=lambda name: (
                load[name] >= room,
                number not in members[name].whole,
                number not in members[name].serves | members[name].follows,
                load[name],
                name,
            ),
        )
        chosen = set(others[:standbys])
        for name in chosen:
            load[name] += 1
        whole = [name for name in others if number in members[name].whole]
        if standbys and whole and chosen.isdisjoint(whole):
            chosen.add(whole[0])
        followers[number] = chosen
    return followers


def _prepare(owner: Mapping[int, str], followers: dict[int, set[str]], members: Mapping[str, Member]) -> None:
    """Have those who serve less than their share follow what they are to serve."""
    planned = dict(owner)
    while moves := list(_uneven(planned, members)):
        giver, taker = planned[moves[0][0]], moves[0][1]
        number = min(
            (number for number, to in moves if to == taker and planned[number] == giver),
            key=lambda number: (taker not in followers[number], number),
        )
        planned[number] = taker
        if owner[number] != taker:
            followers[number].add(taker)
