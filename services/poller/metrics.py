"""What the poller tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from syncline.contracts.ref import Object


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["system", "object"]
        self.events = Counter("syncline_poller_events", "Change events published", [*labels, "op"], registry=registry)
        self.dead_letters = Counter(
            "syncline_poller_dead_letters", "Records that no event can carry", labels, registry=registry
        )
        self.polls = Counter("syncline_poller_polls", "Passes over an object", [*labels, "outcome"], registry=registry)
        self.lag = Gauge(
            "syncline_poller_lag_seconds",
            "Age of the oldest change of the last page, snapshots apart; 0 when all is read",
            labels,
            registry=registry,
        )
        self.paused = Gauge("syncline_poller_paused", "1 while an object needs a person", labels, registry=registry)
        self.leases = Gauge("syncline_poller_leases", "Objects that this replica reads", registry=registry)
        self.requests = Counter(
            "syncline_poller_requests", "Records asked for by the mapper", [*labels, "outcome"], registry=registry
        )
        self.calls = Counter(
            "syncline_poller_api_calls", "Calls to Salesforce", ["system", "kind", "status"], registry=registry
        )
        self.quota = Gauge(
            "syncline_poller_api_quota_used_ratio", "Share of the org's daily calls", ["system"], registry=registry
        )

    def forget(self, kind: Object) -> None:
        """The object is read elsewhere now: its last state must not look like the present."""
        for gauge in (self.lag, self.paused):
            gauge.remove(*kind)
