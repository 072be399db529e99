"""Faust's assignor, with shares of our own where there are standbys.

Faust's own may then leave a worker without any partition for as long as it lives (faust-streaming/faust#93), and gives
a worker that comes back with an empty disk a part of what others serve: that part stands still until the newcomer has
read the changelogs, though somebody had them at hand. Without standbys Faust's shares are even, and are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor import PartitionAssignor
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata

from services.mapper.engine.assignment import Member, Numbers, divide, ripe

WHOLE = ""
"""No topic has this name. Faust has each member tell the leader where everybody's changelogs are, which the leader does
not read: what a member tells there under its own URL and this name is which partitions it holds whole."""


class Assignor(PartitionAssignor):  # type: ignore[misc]
    whole: Numbers = frozenset()
    """The partitions whose tables this worker holds up to the end, or nearly so. The engine keeps it."""

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        url = str(self._url)
        told = ClientMetadata(
            assignment=self._assignment,
            url=url,
            changelog_distribution={url: {WHOLE: sorted(self.whole)}},
            external_topic_distribution={},
            topic_groups={},
        )
        return ConsumerProtocolMemberMetadata(self.version, list(topics), told.dumps())

    def ripe(self) -> Numbers:
        """What this worker follows, holds whole, and would serve if the group divided again."""
        serving = {url: frozenset[int]().union(*topics.values()) for url, topics in self.changelog_distribution.items()}
        me = str(self._url)
        return ripe(me, serving, self.followed, self.whole) if me in serving and self.replicas else frozenset()

    @property
    def followed(self) -> Numbers:
        changelogs = self._table_manager.changelog_topics
        return frozenset(tp.partition for tp in self.assigned_standbys() if tp.topic in changelogs)

    @property
    def served(self) -> Numbers:
        return frozenset(tp.partition for tp in self.assigned_actives())

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        topics, *others = {frozenset(each.subscription) for each in member_metadata.values()}
        partitions, *other_counts = {len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        if not self.replicas or others or other_counts or not partitions:
            return super()._perform_assignment(cluster, member_metadata)
        told = {name: self._get_client_metadata(each) for name, each in member_metadata.items()}
        self._update_member_urls(told)
        shares = divide(
            {name: _member(each) for name, each in told.items()}, partitions=partitions, standbys=self.replicas
        )
        assignments = {
            name: ClientAssignment(
                actives={topic: sorted(share.serves) for topic in topics},
                standbys={topic: sorted(share.follows) for topic in topics},
            )
            for name, share in shares.items()
        }
        return self._protocol_assignments(
            assignments,
            self._get_changelog_distribution(assignments),
            self._get_external_topic_distribution(assignments),
            dict.fromkeys(topics, 0),
        )


def _member(told: ClientMetadata) -> Member:
    return Member(
        serves=frozenset(tp.partition for tp in told.assignment.active_tps),
        follows=frozenset(tp.partition for tp in told.assignment.standby_tps),
        whole=frozenset(told.changelog_distribution.get(told.url, {}).get(WHOLE, ())),
    )
