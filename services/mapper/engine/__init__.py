"""The mapper's engine: batches of a partition through pure hops, acknowledged only when their effects are safe.

What is exported here is pure, so that hops may import it; `services.mapper.engine.worker` runs them on Kafka.
"""

from services.mapper.engine.hop import Effects, Hop, Input, Output, Reader, changelog_topic
from services.mapper.engine.view import View

__all__ = ["Effects", "Hop", "Input", "Output", "Reader", "View", "changelog_topic"]
