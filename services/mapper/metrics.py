"""What the mapper tells Prometheus: the hops' and the engine's own counters, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.mapper.doors import Doors
from services.mapper.engine.progress import Progress
from services.mapper.join import Join
from services.mapper.records import Records


class MapperMetrics(Collector):
    def __init__(self, progress: Progress, records: Records, join: Join, doors: Doors) -> None:
        self._progress = progress
        self._records = records
        self._join = join
        self._doors = doors

    def collect(self) -> Iterator[Metric]:
        progress = self._progress
        done = CounterMetricFamily("syncline_mapper_records", "Records whose effects are safe", labels=["hop"])
        for hop, count in progress.records.items():
            done.add_metric([hop], count)
        yield done
        batches = CounterMetricFamily("syncline_mapper_batches", "Batches of one topic's partition", labels=["hop"])
        for hop, count in progress.batches.items():
            batches.add_metric([hop], count)
        yield batches
        became = CounterMetricFamily("syncline_mapper_decisions", "What became of records", labels=["hop", "decision"])
        deciding = (("doors", self._doors.counts), ("records", self._records.counts), ("join", self._join.counts))
        for hop, counts in deciding:
            for decision, count in counts.items():
                became.add_metric([hop, decision], count)
        yield became
        lag = GaugeMetricFamily("syncline_mapper_lag", "Records behind the end", labels=["topic", "partition"])
        for (topic, partition), behind in progress.lag.items():
            lag.add_metric([topic, str(partition)], behind)
        yield lag
        standby = GaugeMetricFamily(
            "syncline_mapper_standby_lag", "Records that a followed changelog is behind", labels=["topic", "partition"]
        )
        for (topic, partition), count in progress.following.items():
            standby.add_metric([topic, str(partition)], count)
        yield standby
        yield CounterMetricFamily(
            "syncline_mapper_followed", "Changelog records written for others' partitions", value=progress.followed
        )
        yield CounterMetricFamily("syncline_mapper_restored", "Changelog records read back", value=progress.restored)
        yield GaugeMetricFamily("syncline_mapper_missing", "Changelog records yet to be read", value=progress.missing)
        yield CounterMetricFamily("syncline_mapper_rebalances", "Assignments", value=progress.rebalances)
        yield GaugeMetricFamily("syncline_mapper_recovering", "1 until the tables are whole", value=progress.recovering)
