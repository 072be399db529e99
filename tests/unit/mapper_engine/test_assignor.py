"""What members tell the leader and what it tells them, through Faust's own messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from services.mapper.engine.faust_assignor import Assignor
from services.mapper.engine.faust_seam import new_app
from services.mapper.engine.progress import Progress
from services.mapper.engine.settings import EngineSettings

TOPICS = {"in", "app-t-changelog"}


class Cluster:
    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(4))


class Group:
    """Members, each with an app of its own; the first leads."""

    def __init__(self, folder: Path, standbys: int, count: int) -> None:
        self.members: dict[str, Assignor] = {}
        for number in range(count):
            self.join(folder, standbys, f"m{number}")

    def join(self, folder: Path, standbys: int, name: str) -> None:
        async def handler(records: Any, owned: Any) -> None:
            return None

        settings = EngineSettings(
            kafka="127.0.0.1:1", app_id="app", partitions=4, state_dir=folder / name, standby_replicas=standbys
        )
        self.members[name] = new_app(settings, {"in": 0}, ["t"], Progress(), handler).assignor

    def rebalance(self, topics: Mapping[str, set[str]] | None = None) -> dict[str, tuple[set[int], set[int]]]:
        """Through the bytes that travel. Returns what each serves and follows."""
        told = {
            name: ConsumerProtocolMemberMetadata.decode(each.metadata((topics or {}).get(name, TOPICS)).encode())
            for name, each in self.members.items()
        }
        leader = next(iter(self.members.values()))
        given = leader.assign(Cluster(), told)
        for name, each in self.members.items():
            each.on_assignment(ConsumerProtocolMemberAssignment.decode(given[name].encode()))
        return {name: (set(each.served), set(each.followed)) for name, each in self.members.items()}


async def test_a_newcomer_follows_says_when_it_is_ready_and_then_serves(tmp_path: Path) -> None:
    group = Group(tmp_path, 1, 1)
    first = group.members["m0"]
    assert group.rebalance() == {"m0": ({0, 1, 2, 3}, set())}
    first.whole = frozenset(range(4))
    group.join(tmp_path, 1, "m1")
    assert group.rebalance() == {"m0": ({0, 1, 2, 3}, set()), "m1": (set(), {0, 1, 2, 3})}
    second = group.members["m1"]
    assert second.ripe() == frozenset()
    second.whole = frozenset({0, 1, 2})
    assert second.ripe() == frozenset()
    second.whole = frozenset({0, 1, 2, 3})
    assert second.ripe() == {0, 1, 2, 3}
    shares = group.rebalance()
    assert [(len(serves), len(follows)) for serves, follows in shares.values()] == [(2, 2), (2, 2)]
    assert shares["m0"][0] == shares["m1"][1]
    assert not first.ripe() | second.ripe()
    first.whole = frozenset(range(4))
    del group.members["m0"]
    assert group.rebalance() == {"m1": ({0, 1, 2, 3}, set())}


async def test_inputs_go_with_what_is_served_and_only_changelogs_are_followed(tmp_path: Path) -> None:
    group = Group(tmp_path, 1, 2)
    group.rebalance()
    for each in group.members.values():
        given = dict(each._assignment.kafka_protocol_assignment(each.app.tables))
        assert set(given["in"]) == each.served
        assert set(given["app-t-changelog"]) == each.served | each.followed


async def test_without_standbys_the_shares_are_fausts_own(tmp_path: Path) -> None:
    group = Group(tmp_path, 0, 3)
    shares = group.rebalance()
    assert sorted(len(serves) for serves, _ in shares.values()) == [1, 1, 2]
    assert not any(follows for _, follows in shares.values())
    assert not any(each.ripe() for each in group.members.values())


async def test_members_that_read_different_topics_are_left_to_faust(tmp_path: Path) -> None:
    """Its shares do not fit together then, which the consumer finds and says."""
    group = Group(tmp_path, 1, 2)
    group.rebalance({"m1": {*TOPICS, "more"}})
    given = dict(group.members["m1"]._assignment.actives)
    assert set(given["more"]) == {0, 1, 2, 3}
    assert set(given["in"]) != {0, 1, 2, 3}
