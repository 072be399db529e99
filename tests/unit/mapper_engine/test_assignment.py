"""Shares are even in the end, nothing moves to who is not ready for it, and a group that is even is left alone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.mapper.engine.assignment import Member, Share, divide, ripe

NOTHING = Member()
Group = dict[str, Member]

steps = st.lists(st.sampled_from(["join", "leave", "catch up", "divide"]), max_size=12)


def numbers(*given: int) -> frozenset[int]:
    return frozenset(given)


def after(group: Group, shares: dict[str, Share], *, caught_up: bool) -> Group:
    """Those who serve have their tables whole; those who follow keep what they had, or have caught up."""
    return {
        name: Member(
            share.serves,
            share.follows,
            share.serves | (share.follows if caught_up else share.follows & group[name].whole),
        )
        for name, share in shares.items()
    }


def served(shares: dict[str, Share]) -> dict[str, frozenset[int]]:
    return {name: share.serves for name, share in shares.items()}


def sound(group: Group, shares: dict[str, Share], partitions: int, standbys: int) -> None:
    counts = Counter(number for share in shares.values() for number in share.serves)
    assert counts == dict.fromkeys(range(partitions), 1)
    for share in shares.values():
        assert not share.serves & share.follows
    for number in range(partitions):
        holders = {name for name, member in group.items() if number in member.whole}
        [owner] = [name for name, share in shares.items() if number in share.serves]
        assert not holders or owner in holders, "moved to one that has to read the changelog first"
        followers = {name for name, share in shares.items() if number in share.follows}
        assert len(followers) >= min(standbys, len(group) - 1)
        if standbys and len(holders) > 1:
            assert followers & holders, "nobody could take over at once, though somebody could before"


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 13), st.integers(1, 3), steps, st.randoms(use_true_random=False))
def test_any_history_of_a_group(partitions: int, standbys: int, history: list[str], rng: object) -> None:
    group: Group = {"m0": NOTHING}
    names = iter(f"m{number}" for number in range(1, 99))
    for step in [*history, *["catch up"] * 12]:
        match step:
            case "join":
                group[next(names)] = NOTHING
            case "leave" if len(group) > 1:
                del group[rng.choice(sorted(group))]  # type: ignore[attr-defined]
            case _:
                pass
        shares = divide(group, partitions=partitions, standbys=standbys)
        sound(group, shares, partitions, standbys)
        assert shares == divide(group, partitions=partitions, standbys=standbys)
        group = after(group, shares, caught_up=step == "catch up")
    counts = [len(share.serves) for share in shares.values()]
    assert max(counts) - min(counts) <= 1, "uneven in the end"
    again = divide(group, partitions=partitions, standbys=standbys)
    assert again == shares, "moved without need"
    for name, share in shares.items():
        assert len(share.follows) <= partitions
        assert not ripe(name, served(shares), share.follows, group[name].whole)


def test_a_member_that_comes_back_empty_follows_before_it_serves() -> None:
    alone = Member(numbers(0, 1, 2, 3), numbers(), numbers(0, 1, 2, 3))
    shares = divide({"a": alone, "b": NOTHING}, partitions=4, standbys=1)
    assert shares["a"].serves == numbers(0, 1, 2, 3)
    assert shares["b"] == Share(numbers(), numbers(0, 1, 2, 3))
    follows = shares["b"].follows
    assert ripe("b", served(shares), follows, numbers()) == numbers()
    assert ripe("b", served(shares), follows, numbers(0, 1, 2)) == numbers(), "one move for all"
    assert ripe("b", served(shares), follows, follows) == follows
    assert ripe("a", served(shares), numbers(), numbers(0, 1, 2, 3)) == numbers()
    moved = divide({"a": alone, "b": Member(numbers(), follows, follows)}, partitions=4, standbys=1)
    assert {len(share.serves) for share in moved.values()} == {2}
    assert moved["a"].follows == moved["b"].serves


def test_standbys_take_over_what_a_dead_member_served() -> None:
    group = {
        "a": Member(numbers(0, 1), numbers(2, 3), numbers(0, 1, 2, 3)),
        "b": Member(numbers(2, 3), numbers(4, 5), numbers(2, 3, 4, 5)),
        "c": Member(numbers(4, 5), numbers(0, 1), numbers(4, 5, 0, 1)),
    }
    del group["b"]
    shares = divide(group, partitions=6, standbys=1)
    assert shares["a"].serves >= numbers(2, 3), "c has nothing of them"


def test_more_members_than_partitions_follow_only() -> None:
    group = dict.fromkeys("abc", NOTHING)
    shares = divide(group, partitions=2, standbys=1)
    assert sorted(len(share.serves) for share in shares.values()) == [0, 1, 1]


def test_an_empty_group_starts_evenly() -> None:
    shares = divide(dict.fromkeys("ab", NOTHING), partitions=5, standbys=1)
    assert sorted(len(share.serves) for share in shares.values()) == [2, 3]
    assert shares["a"].follows == shares["b"].serves


def test_standbys_are_shared_out() -> None:
    group: Group = {"a": NOTHING, "b": NOTHING}
    for joined in ("", "c"):
        if joined:
            group[joined] = NOTHING
        for _ in range(4):
            shares = divide(group, partitions=12, standbys=1)
            group = after(group, shares, caught_up=True)
    assert min(len(share.follows) for share in shares.values()) >= 2
