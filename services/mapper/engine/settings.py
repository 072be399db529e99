"""What the engine needs to know of its surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from syncline.contracts.tables import Home
from syncline.contracts.topics import MESSAGE_BYTES
from syncline.runtime.consume import HEARTBEAT
from syncline.runtime.security import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Times are in seconds, sizes in bytes."""

    kafka: Address
    """Where the brokers are, and how they let us in."""
    app_id: str
    """The consumer group, and the start of the changelogs' names."""
    partitions: int
    """Of every topic and changelog of every hop."""
    state_dir: Path
    """Where RocksDB lives while the process does. Belongs to this process alone; emptied at start."""
    homes: Mapping[str, Home] = field(default_factory=dict)
    """By which key a table's rows lie in their partitions; a table that is not named is not looked after."""
    instance: str = "mapper"
    """This process's name in the brokers' logs and in descriptions of the group."""
    session_timeout: float = 12.0
    """Until the group gives a dead process's partitions to others."""
    rebalance_timeout: float = 60.0
    """How long the group waits for a member to give its partitions up."""
    delivery_timeout: float = 15.0
    """Until an unacknowledged batch counts as failed. A pass needs a delivery of its outputs and one of each hop's
    changelogs, one after the other, and all must fit into `rebalance_timeout`."""
    recovery_timeout: float = 60.0
    """Without a single changelog record while some are missing, recovery counts as stuck."""
    standby_replicas: int = 0
    """So many other members follow the changelogs of each partition, to take it over without reading them."""
    standby_lag: int = 10_000
    """Changelog records that a follower may be behind and still counts as ready: it reads so many in a moment."""
    commit_interval: float = 1.0
    batch_records: int = 5_000
    """Most records that one pass takes, over all partitions. The event loop is held while a pass computes."""
    max_request_size: int = MESSAGE_BYTES
    """The largest record; the brokers' and topics' own limits must not be lower."""

    @property
    def heartbeat(self) -> float:
        """Seconds between two signs of life."""
        return min(HEARTBEAT, self.session_timeout / 5)
