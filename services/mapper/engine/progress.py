"""What the engine tells about itself: plain attributes that a metrics or health endpoint reads whenever it likes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Counters only grow. Partitions are (topic, number)."""

    records: Counter[str] = field(default_factory=Counter)
    """Inputs whose effects are safe, by hop."""
    batches: Counter[str] = field(default_factory=Counter)
    """By hop."""
    outputs: Counter[str] = field(default_factory=Counter)
    """By hop, those among them that were handed over to a later one; counted when they are safe."""
    restored: int = 0
    """Changelog records read back into the tables."""
    missing: int = 0
    """Changelog records that are still to be read back."""
    followed: int = 0
    """Changelog records that were written for partitions that another serves."""
    following: dict[tuple[str, int], int] = field(default_factory=dict)
    """Changelog partitions of these, each with the records that it is behind, as of its last fetch."""
    caught_up: bool = False
    """Whether there are any, and none of them is far behind."""
    idle: bool = False
    """Whether the last assignment left nothing to serve and nothing to follow."""
    rebalances: int = 0
    recovering: bool = True
    """True from the loss of an assignment until the tables of the next one are restored."""
    assigned: frozenset[tuple[str, int]] = frozenset()
    """Input partitions that this process serves now."""
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    """Records behind the end of each assigned partition, as of its last fetch."""
    moved_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """Monotonic seconds when a batch of the partition was last done, or when the partition was assigned."""
    looked_at: float = 0.0
    """Monotonic seconds when records were last asked for, whether there were any or not."""

    @property
    def ready(self) -> bool:
        """Takes part in the work. One that serves does, however far behind what it follows is; one that only follows
        does once it could take over; one for which nothing was left does at once."""
        return not self.recovering and (bool(self.assigned) or self.caught_up or self.idle)

    def stuck(self, now: float, patience: float) -> list[tuple[str, int]]:
        """Partitions that are behind and have not moved for so many seconds, however busy the others are."""
        return sorted(
            place for place, behind in self.lag.items() if behind and now - self.moved_at.get(place, now) > patience
        )
