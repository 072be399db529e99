"""What the writer tells Prometheus: its own counters, read when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.writer.sinks import Sink


class Counted(Protocol):
    counts: Counter[tuple[str, str]]


class Outcomes(Collector):
    """Outcomes by pipeline; calls and rows by system, and whether it is paused."""

    def __init__(self, writer: Counted, sinks: Mapping[str, Sink], paused: Collection[str] = ()) -> None:
        self._writer = writer
        self._sinks = sinks
        self._paused = paused

    def collect(self) -> Iterator[Metric]:
        paused = GaugeMetricFamily(
            "syncline_writer_paused", "1 while writes wait for the target's schema to be put right", labels=["system"]
        )
        for system in self._sinks:
            paused.add_metric([system], float(system in self._paused))
        yield paused
        outcomes = CounterMetricFamily("syncline_writer_results", "Results published", labels=["pipeline", "outcome"])
        for (pipeline, outcome), count in self._writer.counts.items():
            outcomes.add_metric([pipeline, outcome], count)
        yield outcomes
        calls = CounterMetricFamily("syncline_writer_calls", "Write calls sent", labels=["system", "operation"])
        rows = CounterMetricFamily("syncline_writer_rows", "Rows saved", labels=["system", "operation"])
        for system, sink in self._sinks.items():
            for family, counted in ((calls, sink.calls), (rows, sink.rows)):
                for operation, count in counted.items():
                    family.add_metric([system, operation], count)
        yield calls
        yield rows
